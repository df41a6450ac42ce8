"""What `workbench clean` removes, and above all what it leaves."""

import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from run_folders import asked_run, finished_run, held, started_run
from typer.testing import CliRunner

from workbench.cli import app
from workbench.report.clean import old_runs, read_age
from workbench.report.folder import locked, locked_at_once, remove
from workbench.report.runs import find_runs, is_held
from workbench.report.sweep import sweep

DAY = 86400
KEYS = ("0123456789abcdef", "fedcba9876543210", "00112233445566aa")


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("reports", "temporary", "cache", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "reports"


def clean(*arguments: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["clean", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def aged(folder: Path, days: float) -> Path:
    """A folder all of which was written days ago."""
    then = time.time() - days * DAY
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then), follow_symlinks=False)
    return folder


def swept(folder: Path, *statuses: str, days: float = 40) -> Path:
    """A sweep that has ended."""
    for key, status in zip(KEYS, statuses, strict=False):
        finished_run(folder / key, status=status)
    for name in ("summary.parquet", "sweep.html", ".lock", ".sweep.html.123"):
        (folder / name).touch()
    return aged(folder, days)


def left(reports: Path) -> list[str]:
    return sorted(run.name for run in find_runs(reports))


def bystanders(reports: Path) -> list[Path]:
    """What is no run, and looks a little like one."""
    places = ("baselines/probe.json", "index.html", "probe/notes.txt", "other/request.json", "other/run.json")
    for place in places:
        (reports / place).parent.mkdir(exist_ok=True, parents=True)
        (reports / place).write_text("{}")
        os.utime(reports / place, (1, 1))
    return [reports / place for place in places]


def test_without_a_word_it_is_what_is_older_than_30_days(reports: Path) -> None:
    others = bystanders(reports)
    for name, days in (("new", 0), ("younger", 29.9), ("older", 30.1), ("ancient", 400)):
        aged(finished_run(reports / "probe" / name, status="failed" if name == "ancient" else "ok"), days)
    shown, _ = clean("--yes")
    assert left(reports) == ["probe/new", "probe/younger"]
    assert all(path.exists() for path in others)
    listed = [line.split()[0] for line in shown.splitlines() if "probe/" in line]
    assert listed == ["probe/older", "probe/ancient"]
    assert "removed 2 of 2" in shown


def test_what_is_freed_is_what_was_on_the_disk(reports: Path) -> None:
    folder = finished_run(reports / "probe" / "1")
    (folder / "results").mkdir()
    (folder / "results" / "large.npz").write_bytes(os.urandom(3_000_000))
    aged(folder, 40)
    shown, _ = clean("--yes")
    assert re.search(r"freed 3\.\d+ MB", shown)


def test_keep_counts_the_finished_ones_of_each_notebook(reports: Path) -> None:
    for days in range(4):
        aged(finished_run(reports / "a" / f"{days}", name="a"), days)
        aged(finished_run(reports / "b" / f"{days}", name="b"), days + 10)
    aged(started_run(reports / "a" / "broken", name="a"), 1.5)  # does not count, nor is it kept
    swept(reports / "a" / "sweeps" / "k-1", "ok", "ok", days=0.5)
    for key in KEYS[:2]:
        request = reports / "a" / "sweeps" / "k-1" / key / "request.json"
        request.write_text(request.read_text().replace('"probe"', '"a"'))
        os.utime(request, (time.time() - DAY / 2,) * 2)
    clean("--keep", 2, "--yes")
    assert left(reports) == ["a/0", *(f"a/sweeps/k-1/{key}" for key in sorted(KEYS[:2])), "b/0", "b/1"]


def test_failed_are_those_that_are_not_good_and_all_criteria_apply(reports: Path) -> None:
    aged(finished_run(reports / "a" / "good"), 9)
    aged(finished_run(reports / "a" / "bad", status="failed"), 9)
    aged(finished_run(reports / "a" / "bad-but-new", status="kernel died"), 1)
    aged(started_run(reports / "a" / "broken-off"), 9)
    aged(asked_run(reports / "a" / "never-started"), 9)
    swept(reports / "a" / "sweeps" / "partly", "failed", "ok")
    swept(reports / "a" / "sweeps" / "wholly", "failed", "interrupted")
    clean("--failed", "--older-than", "1w", "--yes")
    assert left(reports) == [
        "a/bad-but-new", "a/good", *(f"a/sweeps/partly/{key}" for key in sorted(KEYS[:2])),
    ]  # fmt: skip
    assert not (reports / "a" / "sweeps" / "wholly").exists()


def test_nothing_goes_that_nobody_agreed_to(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aged(finished_run(reports / "probe" / "1"), 40)
    shown, _ = clean("--dry-run")
    assert "probe/1" in shown
    assert "1 to remove" in shown
    assert "--yes" in clean(code=2)[1]
    monkeypatch.setattr("workbench.cli._agreed", lambda: False)
    clean()
    assert left(reports) == ["probe/1"]
    monkeypatch.setattr("workbench.cli._agreed", lambda: True)
    clean()
    assert left(reports) == []
    assert clean()[0] == "there is nothing to remove\n"


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1.5d", "30 d", "1y", ""])
def test_an_age_is_a_number_and_a_unit(reports: Path, age: str) -> None:
    aged(finished_run(reports / "probe" / "1"), 40)
    assert "is not an age" in clean("--older-than", age, "--yes", code=2)[1]
    assert left(reports) == ["probe/1"]


def test_ages() -> None:
    assert [read_age(text) for text in ("12h", "30d", "2w", "0d")] == [DAY / 2, 30 * DAY, 14 * DAY, 0]


def test_a_running_run_survives(reports: Path) -> None:
    folder = aged(started_run(reports / "probe" / "1"), 40)
    with held(folder):
        aged(folder, 40)
        _, told = clean("--yes")
    assert told == "probe/1 is left alone: it is running\n"
    assert left(reports) == ["probe/1"]


def test_a_run_that_starts_while_the_user_is_asked_survives(reports: Path) -> None:
    folder = aged(asked_run(reports / "probe" / "1"), 40)
    [found] = old_runs(print)
    with held(folder), pytest.raises(BlockingIOError):
        found.remove()
    assert left(reports) == ["probe/1"]


def test_a_run_that_ended_while_the_user_is_asked_survives(reports: Path) -> None:
    folder = aged(started_run(reports / "probe" / "1"), 40)
    [found] = old_runs(print)
    (folder / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="changed meanwhile"):
        found.remove()
    assert (folder / "run.json").exists()


@pytest.mark.parametrize("make", [asked_run, started_run])
def test_what_has_not_finished_stays_for_a_day(reports: Path, make: Callable[..., Path]) -> None:
    aged(make(reports / "probe" / "old"), 1.1)
    aged(make(reports / "probe" / "new"), 0.9)
    _, told = clean("--older-than", "0d", "--yes")
    assert told == "probe/new is left alone: it has not finished, and it is less than a day old\n"
    assert left(reports) == ["probe/new"]


def test_a_sweep_goes_as_a_whole(reports: Path) -> None:
    folder = swept(reports / "probe" / "sweeps" / "k-1", "ok", "failed")
    (folder / KEYS[2]).mkdir()  # of a task that was killed before it wrote anything
    shown, _ = clean("--yes")
    assert "sweep of 2" in shown
    assert "1 failed, 1 ok" in shown
    assert (reports / "probe" / "sweeps").is_dir()
    assert not folder.exists()


def test_a_sweep_one_run_of_which_runs_or_is_new_stays(reports: Path) -> None:
    running = swept(reports / "probe" / "sweeps" / "running", "ok", "ok")
    new = swept(reports / "probe" / "sweeps" / "new", "ok", "ok")
    aged(started_run(running / KEYS[2]), 40)
    finished_run(new / KEYS[2])
    before = left(reports)
    with held(running / KEYS[2]):
        _, told = clean("--yes")
    assert told == "probe/sweeps/running is left alone: it is running\n"
    assert left(reports) == before


def test_a_sweep_stays_while_its_client_lives_also_between_two_runs(
    reports: Path, make_notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = swept(reports / "probe" / "sweeps" / "k-1", "ok")
    told: list[str] = []

    def run(*arguments: object) -> dict:
        told.extend(each.name for each in old_runs(told.append))
        return {}

    monkeypatch.setattr("workbench.report.sweep._run", run)
    sweep(make_notebook(parameters="k: int = 0"), {"k": "1"}, folder=folder)
    assert told == ["probe/sweeps/k-1 is left alone: it is running"]
    assert not is_held(folder, shared=True)


def test_what_is_not_of_a_sweep_keeps_it(reports: Path) -> None:
    for name in ("a", "b"):
        swept(reports / "probe" / "sweeps" / name, "ok")
    (reports / "probe" / "sweeps" / "a" / "thesis.tex").touch()
    (reports / "probe" / "sweeps" / "b" / "figures").mkdir()
    _, told = clean("--yes")
    assert sorted(told.splitlines()) == [
        "probe/sweeps/a is left alone: thesis.tex in it is not of a sweep",
        "probe/sweeps/b is left alone: figures in it is not of a sweep",
    ]
    assert len(left(reports)) == 2


def test_links_are_not_followed(reports: Path, tmp_path: Path) -> None:
    outside = aged(finished_run(tmp_path / "elsewhere" / "run"), 40)
    (tmp_path / "elsewhere" / "precious").write_text("precious")
    (reports / "probe").mkdir()
    (reports / "probe" / "linked-run").symlink_to(outside)
    (reports / "linked-notebook").symlink_to(tmp_path / "elsewhere")
    folder = finished_run(reports / "probe" / "1")
    (folder / "results").mkdir()
    for place in ("linked", "results/linked"):
        (folder / place).symlink_to(tmp_path / "elsewhere")
    (folder / "linked-file").symlink_to(tmp_path / "elsewhere" / "precious")
    aged(folder, 40)
    locked_elsewhere = finished_run(reports / "probe" / "2")
    (locked_elsewhere / ".lock").unlink()
    (locked_elsewhere / ".lock").symlink_to(tmp_path / "elsewhere" / "precious")
    aged(locked_elsewhere, 40)
    clean("--yes", code=1)
    assert not folder.exists()
    assert (tmp_path / "elsewhere" / "precious").read_text() == "precious"
    assert {path.name for path in outside.iterdir()} >= {"run.json", "request.json", "report.html"}
    assert (reports / "probe" / "linked-run").is_symlink()


def test_a_run_folder_around_others_stays(reports: Path) -> None:
    aged(finished_run(reports / "probe"), 40)
    aged(finished_run(reports / "probe" / "inner"), 40)
    _, told = clean("--yes")
    assert told == "probe is left alone: another run is in it\n"
    assert (reports / "probe" / "inner" / "run.json").exists()


def test_the_reports_folder_itself_stays(reports: Path) -> None:
    reports.rmdir()
    aged(finished_run(reports), 40)
    assert clean("--yes")[1] == ". is left alone: it is among the baselines or around them\n"
    assert (reports / "run.json").exists()


def test_a_folder_that_cannot_be_read_is_one_line_and_the_others_go(
    reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(finished_run(reports / "probe" / "1"), 40)
    closed, half_closed = reports / "probe" / "closed", reports / "probe" / "2" / "results"
    aged(finished_run(closed), 40)
    aged(finished_run(half_closed.parent), 40)
    half_closed.mkdir()
    scandir = os.scandir

    def refuse(path: object) -> object:
        if str(path) in (str(closed), str(half_closed)):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        _, told = clean("--yes")
    assert sorted(told.splitlines()) == [
        f"left alone: Permission denied: {closed}",
        f"probe/2 is left alone: Permission denied: {half_closed}",
    ]
    assert left(reports) == ["probe/2", "probe/closed"]
    assert (half_closed.parent / "run.json").exists()


@pytest.mark.parametrize("closed", ["run.json", "results"])
def test_what_may_not_be_read_or_changed_stays_whole(
    reports: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    folder = finished_run(reports / "probe" / "1")
    (folder / "results").mkdir()
    aged(folder, 40)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(folder / closed))
    assert clean("--yes")[1] == f"probe/1 is left alone: Permission denied: {folder / closed}\n"
    assert left(reports) == ["probe/1"]


def test_what_the_system_refuses_to_remove_is_one_line_and_the_others_go(
    reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, days in (("1", 50), ("2", 40)):
        aged(finished_run(reports / "probe" / name), days)
    unlink = os.unlink

    def refuse(path: object, **options: object) -> None:
        if "probe/2" in str(path):
            raise OSError(30, "Read-only file system", str(path))
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        shown, told = clean("--yes", code=1)
    assert told == f"probe/2 is left alone: Read-only file system: {reports}/probe/2/run.json\n"
    assert "removed 1 of 2" in shown
    assert left(reports) == ["probe/2"]


@contextmanager
def killed_at(point: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process dies before it removes its next name."""
    done = 0

    def counted(call: Callable[..., None]) -> Callable[..., None]:
        def dying(*arguments: object, **options: object) -> None:
            nonlocal done
            if done == point:
                raise Killed
            done += 1
            call(*arguments, **options)

        return dying

    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        yield


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_killed_at_any_point_nothing_half_removed_reads_as_good_and_the_next_call_ends_it(
    reports: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    whole = {"report.html", "notebook.ipynb", "log.txt", "results", "run.json", "request.json"}
    for point in range(100):
        folder = reports / "probe" / f"{point}"
        if kind == "sweep":
            swept(folder, "ok", "ok")
        else:
            finished_run(folder)
        runs = [file.parent for file in folder.rglob("run.json")]
        for run in runs:
            (run / "results").mkdir()
            (run / "results" / "table.parquet").touch()
        aged(folder, 40)
        [found] = old_runs(print)
        try:
            with killed_at(point, monkeypatch):
                found.remove()
        except Killed:
            good = [run.folder for run in find_runs(folder) if run.status == "ok"]
            assert all(whole <= {path.name for path in each.iterdir()} for each in good)
            # The process died with its locks; what it left is found as long as there is more than a lock.
            rest = {path.name for path in folder.rglob("*") if path.is_file()} - {".lock"}
            assert not rest or list(old_runs(print))
            for each in old_runs(print):
                each.remove()
            assert left(reports) == []
        else:
            assert not folder.exists()
            break
    assert 8 < point < 99


def test_who_waited_for_the_lock_of_a_removed_folder_takes_that_of_its_successor(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    entered = threading.Event()

    def wait() -> None:
        with locked(folder):
            entered.set()

    folder.mkdir()
    with locked_at_once(folder):
        waiter = threading.Thread(target=wait)
        waiter.start()
        remove(folder)
        folder.mkdir()
        second = locked_at_once(folder)
        second.__enter__()
    assert not entered.wait(0.5)
    second.__exit__(None, None, None)
    assert entered.wait(30)
    waiter.join()


def test_caches_are_the_files_of_the_cache_and_nothing_else(reports: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    key, made = f"digits-mlp-{'0' * 20}", f"text-gpt-{'1' * 20}"
    for name in (
        f"{key}.pt",
        f"{key}.lock",
        f".{key}.pt.12.34",
        "checkpoint.pt",
        "digits-mlp-0.pt",
        "a.lock",
    ):
        (cache / name).touch()
    (cache / f"{made}.pt").symlink_to(cache / "checkpoint.pt")
    aged(finished_run(reports / "probe" / "1"), 40)
    clean("--caches", "--yes")
    assert {path.name for path in cache.iterdir()} == {
        "checkpoint.pt", "digits-mlp-0.pt", "a.lock", f"{made}.pt",
    }  # fmt: skip
    assert left(reports) == ["probe/1"]


def test_a_problem_that_is_being_trained_stays(tmp_path: Path) -> None:
    key = f"digits-mlp-{'0' * 20}"
    file = tmp_path / "cache" / f"{key}.pt"
    file.touch()
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert clean("--caches", "--yes")[1] == f"{key} is left alone: it is being made\n"
    assert file.exists()
