"""What a run folder says about how its run stands."""

import json
import os
from pathlib import Path

import pytest
from run_folders import as_preview, asked_run, finished_run, held, started_run

from workbench.report.runs import find_run, find_runs, read_run


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
    return tmp_path


def test_each_state(reports: Path) -> None:
    assert read_run(asked_run(reports / "p" / "asked")).status == "not started"
    folder = started_run(reports / "p" / "started")
    assert read_run(folder).status == "broken off"
    with held(folder):
        assert read_run(folder).status == "running"
    assert read_run(folder).status == "broken off"
    assert read_run(finished_run(reports / "p" / "good")).status == "ok"
    bad = read_run(finished_run(reports / "p" / "bad", status="kernel died"))
    assert (bad.status, bad.finished, bad.name) == ("kernel died", True, "p/bad")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "ok"}', "\x00" * 40])
def test_a_damaged_end_is_no_end(reports: Path, content: str) -> None:
    folder = finished_run(reports / "p" / "run")
    (folder / "run.json").write_text(content)
    assert read_run(folder).status == "broken off"


def test_runs_are_found_wherever_they_lie_the_newest_first(reports: Path) -> None:
    for age, place in enumerate(("a/1", "sweep/b/2", "a/3")):
        folder = finished_run(reports / place)
        os.utime(folder / "request.json", (1e9 - age, 1e9 - age))
    (reports / "other").mkdir()
    (reports / "other" / "request.json").write_text(json.dumps(["not", "a", "run"]))
    (reports / "baselines").mkdir()
    assert [run.name for run in find_runs()] == ["a/1", "sweep/b/2", "a/3"]
    assert find_run("a/latest").name == "a/1"
    assert find_run("a/previous").name == "a/3"
    assert find_run("sweep/b/2").name == find_run(str(reports / "sweep" / "b" / "2")).name == "sweep/b/2"


def test_latest_is_a_finished_one(reports: Path) -> None:
    os.utime(finished_run(reports / "a" / "1") / "request.json", (1, 1))
    started_run(reports / "a" / "2")
    as_preview(finished_run(reports / "a" / "3"))
    assert find_run("a/latest").name == "a/1"
    with pytest.raises(ValueError, match="there is no previous run of 'a': it has 1 finished ones"):
        find_run("a/previous")


def test_what_is_no_run_is_refused(reports: Path) -> None:
    finished_run(reports / "curvature" / "20260101-000000-abcd")
    with pytest.raises(ValueError, match="did you mean 'curvature/20260101-000000-abcd'"):
        find_run("curvature/20260101-000000-abcf")
    (reports / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is not the folder of a run"):
        find_run("empty")
