"""`workbench check`: what counts as drift, on the table and as an exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from workbench.cli import app
from workbench.report.baseline import compare


def figure(value: object, rtol: float = 0.02, atol: float = 0.0) -> dict:
    return {"value": value, "rtol": rtol, "atol": atol}


def verdicts(then: dict, now: dict, parameters: tuple[dict, dict] = ({}, {})) -> dict[str, str]:
    baseline = {"figures": then, "parameters": parameters[0]}
    rows = compare(baseline, {"recorded": now, "parameters": parameters[1]})
    return {row.name: row.verdict for row in rows}


@pytest.mark.parametrize(
    ("then", "now", "verdict"),
    [
        (figure(100.0), figure(101.9), "ok"),
        (figure(100.0), figure(102.1), "drift"),
        (figure(-100.0), figure(-98.1), "ok"),
        (figure(-100.0), figure(100.0), "drift"),
        (figure(0.0), figure(1e-9), "drift"),
        (figure(0.0, atol=1e-6), figure(1e-9, atol=1e-6), "ok"),
        (figure(3), figure(3.0), "ok"),
        (figure(True), figure(True), "ok"),
        (figure(True), figure(1), "drift"),
        (figure("flat"), figure("sharp"), "drift"),
        (figure("flat"), figure("flat"), "ok"),
        (figure(1.0), figure("1.0"), "drift"),
        (figure(100.0), figure(130.0, rtol=0.5), "drift"),
        (figure(100.0), figure(100.0, rtol=0.5), "tolerance changed to rtol 0.5"),
        (figure(1.0, atol=0.0100), figure(1.0, atol=0.0101), "ok"),
        (figure(100.0), figure(100.0, atol=1.0), "tolerance changed to rtol 0.02, atol 1"),
    ],
)
def test_a_figure_is_held_by_the_tolerance_of_its_baseline(then: dict, now: dict, verdict: str) -> None:
    assert verdicts({"a": then}, {"a": now}) == {"a": verdict}


def test_missing_and_new_figures_and_changed_parameters_are_told() -> None:
    assert verdicts({"a": figure(1), "b": figure(2)}, {"b": figure(2), "c": figure(3)}) == {
        "a": "missing",
        "b": "ok",
        "c": "new",
    }
    assert verdicts({}, {}, ({"k": 1, "l": None}, {"k": 2})) == {
        "k": "parameter changed",
        "l": "parameter changed",
    }


def test_the_relative_difference_is_of_the_baseline() -> None:
    baseline = {"figures": {"a": figure(200.0), "z": figure(0.0)}, "parameters": {}}
    rows = compare(baseline, {"recorded": {"a": figure(210.0), "z": figure(1.0)}, "parameters": {}})
    assert [row.relative for row in rows] == [pytest.approx(0.05), None]


def test_check_accepts_holds_and_finds_drift(
    make_notebook: Callable[..., Path], workplace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
    cell = "import workbench as wb\nwb.record('top', float(open('figure').read()) * k)"
    steady = make_notebook(cell, name="05_steady", parameters="k: int = 1", small={"k": 2})
    baseline = tmp_path / "baselines" / "steady.json"

    def check(value: float, *arguments: object) -> Result:
        (workplace / "figure").write_text(str(value))
        return CliRunner().invoke(app, ["check", *map(str, arguments)])

    new = check(1.5, steady, "--update")
    assert new.exit_code == 0, new.output
    assert "new" in new.stdout
    accepted = json.loads(baseline.read_text())
    assert accepted == {"parameters": {"k": 2}, "figures": {"top": figure(3.0)}}

    drifted = check(1.6, steady)
    assert drifted.exit_code == 1
    assert "drift" in drifted.stdout
    assert "0.0666667" in drifted.stdout
    assert json.loads(baseline.read_text()) == accepted

    failing = make_notebook("1 / 0", name="06_failing")
    mixed = check(1.51, steady, failing, "--update")
    assert mixed.exit_code == 3  # the failed run keeps its code, the other one is accepted
    assert "failing: cell [1] raised ZeroDivisionError" in mixed.stderr
    assert json.loads(baseline.read_text())["figures"]["top"]["value"] == pytest.approx(3.02)
    assert not baseline.with_name("failing.json").exists()


def test_a_notebook_that_records_nothing_is_not_held(
    make_notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
    result = CliRunner().invoke(app, ["check", str(make_notebook("1 + 1"))])
    assert result.exit_code == 2
    assert "records no figure" in result.stderr


def test_a_notebook_without_a_baseline_says_how_to_get_one(
    make_notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
    result = CliRunner().invoke(
        app, ["check", str(make_notebook("import workbench as wb\nwb.record('a', 1)"))]
    )
    assert result.exit_code == 1
    assert "no baseline yet; --update" in result.stderr


def test_an_interrupt_ends_the_whole_check(
    make_notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
    launched: list[Path] = []

    def launch(folder: Path) -> dict:
        launched.append(folder)
        return {"status": "interrupted", "exit_code": 130, "error": "interrupted by SIGINT in cell [1]"}

    monkeypatch.setattr("workbench.cli._launch", launch)
    paths = [make_notebook("1", name=name) for name in ("07_first", "08_second")]
    result = CliRunner().invoke(app, ["check", *map(str, paths)])
    assert result.exit_code == 130
    assert [folder.parent.name for folder in launched] == ["first"]
