"""`workbench check`: notebooks side by side, what drifted, and the exit code that says so."""

import errno
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from run_folders import figure, finished_run, picture
from runs import alive, read_run, wait_for
from typer.testing import CliRunner, Result

from workbench.cli import app
from workbench.report import check as check_module
from workbench.report.baseline import read_baseline, write_baseline
from workbench.report.check import Checked, check, exit_code
from workbench.report.processes import run_processes
from workbench.report.progress import Progress

# Goes on when the other one runs too.
MEETING = """
import os, pathlib, time
import workbench as wb
from PIL import Image
pathlib.Path(place, me).touch()
while not pathlib.Path(place, other).exists(): time.sleep(0.05)
wb.record("threads", os.environ["OMP_NUM_THREADS"])
Image.new("RGB", (40, 30), "red")
"""
WAIT = """
import os, pathlib, time
pathlib.Path(os.environ["WORKBENCH_RUN"], "pid").write_text(str(os.getpid()))
while True: time.sleep(0.1)
"""


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)], env={"COLUMNS": "80"})


def meeting(make_notebook: Callable[..., Path], place: Path, me: str, other: str) -> Path:
    return make_notebook(
        MEETING,
        name=f"05_{me}",
        parameters="place: str = ''\nme: str = ''\nother: str = ''",
        small={"place": str(place), "me": me, "other": other},
    )


def test_notebooks_run_at_once_and_one_that_fails_stops_no_other(
    make_notebook: Callable[..., Path], reports: Path, tmp_path: Path
) -> None:
    failing = make_notebook("1 / 0", name="06_failing")
    left = meeting(make_notebook, tmp_path, "left", "right")
    right = meeting(make_notebook, tmp_path, "right", "left")
    result = invoke(failing, left, right, "--update", "--workers", 2, "--timeout", 60)
    assert result.exit_code == 3, result.output
    assert "error: failing: cell [1] raised ZeroDivisionError" in result.stderr
    assert "left: baseline accepted, 1 of 1 figures changed" in result.stdout
    assert "right: baseline accepted, 1 of 1 figures changed" in result.stdout
    accepted = json.loads((reports / "baselines" / "right.json").read_text())
    assert accepted == {
        "parameters": {"place": str(tmp_path), "me": "right", "other": "left"},
        "figures": {"threads": figure("1")},
    }
    with Image.open(reports / "baselines" / "right.png") as shown:
        assert (shown.size, shown.convert("RGB").getpixel((0, 0))) == ((40, 30), (255, 0, 0))
    assert {path.stem for path in (reports / "baselines").iterdir()} == {"left", "right"}


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_runs_and_leaves_no_process(
    make_notebook: Callable[..., Path],
    start_workbench: Callable[..., subprocess.Popen],
    reports: Path,
    signum: int,
    code: int,
) -> None:
    paths = [make_notebook(WAIT, name=f"0{place}_n{place}") for place in (1, 2, 3)]
    process = start_workbench("check", *paths, "--workers", 2, "--update")
    wait_for(lambda: len([*reports.glob("*/*/pid")]) == 2)
    pids = [int(path.read_text()) for path in reports.glob("*/*/pid")]
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert not any(map(alive, pids))
    assert not any(run_processes(path.parent) for path in reports.glob("*/*/request.json"))
    statuses = [read_run(path.parent)["status"] for path in reports.glob("*/*/run.json")]
    assert statuses == ["interrupted", "interrupted"]
    assert [line.split(" (")[0] for line in errors.splitlines()] == [
        f"error: n1: interrupted by {signum.name} in cell [1]",
        f"error: n2: interrupted by {signum.name} in cell [1]",
        "error: n3: not run, since the check was stopped",
    ]
    assert not (reports / "baselines").exists()


def test_drift_is_named_on_the_terminal(make_notebook: Callable[..., Path]) -> None:
    accepted = {"parameters": {}, "recorded": {"top": figure(3.0), "same": figure(1)}}
    write_baseline("steady", accepted, read_baseline("steady"))
    cell = "import workbench as wb\nwb.record('top', 3.2)\nwb.record('same', 1)"
    result = invoke(make_notebook(cell, name="05_steady"))
    assert result.exit_code == 1
    table = [line.split() for line in result.stdout.splitlines()]
    assert ["top", "3", "3.2", "0.0666667", "rtol", "0.02", "drift"] in table
    assert not any(line[:1] == ["same"] for line in table)
    said = "steady: 1 of 2 figures drifted; --update accepts them ("
    assert result.stderr.startswith(said)
    assert Path(result.stderr.strip().removeprefix(said).removesuffix(")")).is_file()


def cells(row: BeautifulSoup) -> list[str]:
    return [cell.get_text() for cell in row.find_all(["th", "td"])]


def test_the_page_has_every_figure_and_both_pictures(reports: Path) -> None:
    then = {"same": figure(1), "top": figure(2.0)}
    old = finished_run(reports / "p" / "old", recorded=then, shown=picture((60, 30)), k=1)
    (unknown,) = check([old])
    assert (unknown.exit_code, unknown.see) == (1, old / "report.html")
    assert unknown.verdict == "no baseline yet; --update accepts these figures"
    (accepted,) = check([old], update=True)
    assert (accepted.exit_code, accepted.see) == (0, old / "report.html")
    now = {"same": figure(1), "top": figure(2.5)}
    new = finished_run(reports / "p" / "new", recorded=now, shown=picture((50, 30)), title="<b>", k=2)
    (drifted,) = check([new])
    assert (drifted.exit_code, drifted.verdict) == (1, "2 of 3 figures drifted; --update accepts them")
    assert drifted.see == new / "drift.html"
    soup = BeautifulSoup((new / "drift.html").read_text(), "html.parser")
    assert soup.h1.get_text() == "<b>"
    assert [cells(row) for row in soup.tbody.find_all("tr")] == [
        ["top", "2", "2.5", "+0.5", "0.25", "rtol 0.02", "drift"],
        ["k", "1", "2", "+1", "", "", "parameter changed"],
        ["same", "1", "1", "+0", "0", "rtol 0.02", "ok"],
    ]
    assert [caption.get_text() for caption in soup.find_all("figcaption")] == ["Baseline", "Now"]
    baseline, run = (image["src"] for image in soup.find_all("img"))
    assert baseline != run
    assert all(each.startswith("data:image/png;base64,") for each in (baseline, run))
    assert soup.header.a["href"] == "report.html"


def accepted_files(reports: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (reports / "baselines").iterdir()}


def test_where_all_figures_agree_figures_and_picture_stay(reports: Path) -> None:
    old = finished_run(reports / "p" / "old", recorded={"top": figure(3.0)}, shown=picture((60, 30)))
    new = finished_run(reports / "p" / "new", recorded={"top": figure(3.02)}, shown=picture((50, 30)))
    check([old], update=True)
    before = accepted_files(reports)
    (checked,) = check([new], update=True)
    assert (checked.exit_code, checked.verdict, checked.see) == (0, "1 figures agree", None)
    assert accepted_files(reports) == before
    (reports / "baselines" / "probe.png").unlink()
    check([new], update=True)
    with Image.open(reports / "baselines" / "probe.png") as shown:
        assert shown.size == (50, 30)
    blind = finished_run(reports / "p" / "blind", recorded={"top": figure(3.0)})
    check([blind], update=True)
    assert [*accepted_files(reports)] == ["probe.json"]


def test_of_figures_that_agree_not_a_digit_is_accepted_anew(reports: Path) -> None:
    then = {"same": figure(3.0), "gone": figure(1), "top": figure(2.0), "loose": figure(5.0)}
    now = {"new": figure(7), "same": figure(3.02), "top": figure(2.5), "loose": figure(5.01, rtol=0.1)}
    old = finished_run(reports / "p" / "old", recorded=then, shown=picture((60, 30)), k=1)
    new = finished_run(reports / "p" / "new", recorded=now, shown=picture((50, 30)), k=2)
    check([old], update=True)
    (checked,) = check([new], update=True)
    assert checked.verdict == "baseline accepted, 5 of 6 figures changed"
    baseline = json.loads((reports / "baselines" / "probe.json").read_text())
    assert baseline == {"parameters": {"k": 2}, "figures": {**now, "same": figure(3.0)}}
    with Image.open(reports / "baselines" / "probe.png") as shown:
        assert shown.size == (50, 30)


def test_a_run_that_shows_no_picture_takes_that_of_its_baseline_away(reports: Path) -> None:
    old = finished_run(reports / "p" / "old", recorded={"top": figure(3.0)}, shown=picture((60, 30)))
    check([old], update=True)
    blind = finished_run(reports / "p" / "blind", recorded={"top": figure(4.0)})
    check([blind], update=True)
    soup = BeautifulSoup((blind / "drift.html").read_text(), "html.parser")
    assert [each.get_text() for each in soup.find_all("figure")] == ["Baseline", "NowThere is none."]
    assert [path.name for path in (reports / "baselines").iterdir()] == ["probe.json"]


def test_without_any_picture_the_page_says_nothing_of_them(reports: Path) -> None:
    old = finished_run(reports / "p" / "old", recorded={"top": figure(3.0)})
    check([old], update=True)
    new = finished_run(reports / "p" / "new", recorded={"top": figure(4.0)})
    check([new])
    assert "Pictures" not in (new / "drift.html").read_text()


def test_what_is_not_held_and_what_failed(reports: Path) -> None:
    silent = finished_run(reports / "p" / "silent", name="silent")
    failed = finished_run(reports / "p" / "failed", name="failed", status="failed", recorded={"a": figure(1)})
    checked = check([silent, failed], update=True)
    assert [each.exit_code for each in checked] == [2, 3]
    assert "records no figure" in checked[0].verdict
    assert checked[1].see == failed / "notebook.ipynb"
    assert not (reports / "baselines").exists()


def test_a_full_disk_ends_one_notebook_only(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, run: dict, baseline: dict) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(check_module, "write_baseline", write)
    full = finished_run(reports / "p" / "full", name="full", recorded={"a": figure(1)})
    silent = finished_run(reports / "p" / "silent", name="silent")
    checked = check([full, silent], update=True)
    assert [each.exit_code for each in checked] == [70, 2]
    assert "could not be written down: [Errno 28] No space left" in checked[0].verdict


def test_a_damaged_baseline_is_refused_before_anything_runs(
    make_notebook: Callable[..., Path], reports: Path
) -> None:
    (reports / "baselines").mkdir(parents=True)
    (reports / "baselines" / "probe.json").write_text("{")
    result = invoke(make_notebook("1"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "is not a baseline" in result.stderr
    assert not [*reports.glob("*/*/log.txt")]


def test_progress_counts_what_passed_and_what_did_not(reports: Path) -> None:
    folders = [
        finished_run(reports / "p" / name, name=name, recorded={"a": figure(1)}) for name in ("one", "two")
    ]
    check(folders[:1], update=True)
    shown: list[Progress] = []
    check(folders, workers=1, on_progress=shown.append)
    assert shown == [Progress(0, 0, 1, 2), Progress(1, 0, 1, 2), Progress(1, 1, 0, 2)]


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([0, 0], 0), ([0, 1], 1), ([1, 3, 4], 3), ([70, 0], 70), ([3, 143, 130], 143)],
)
def test_a_stop_wins_over_a_failure_and_that_over_drift(codes: list[int], code: int) -> None:
    assert exit_code([Checked("n", each, "") for each in codes]) == code
