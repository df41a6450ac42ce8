"""Baselines: what counts as drift, and what is none."""

from pathlib import Path

import pytest
from run_folders import figure

from workbench.report.baseline import compare, read_baseline


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
        (figure(100.0), figure(100.0, rtol=0.021), "tolerance changed to rtol 0.021"),
        (figure(1.0, atol=0.010), figure(1.0, atol=0.019), "ok"),
        (figure(1.0, atol=0.010), figure(1.0, atol=0.021), "tolerance changed to rtol 0.02, atol 0.021"),
        (figure(1.0, atol=0.010), figure(1.0, atol=0.004), "tolerance changed to rtol 0.02, atol 0.004"),
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


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"figures": {}}'])
def test_a_file_that_is_no_baseline_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
    path = tmp_path / "baselines" / "probe.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{path} is not a baseline; remove it"):
        read_baseline("probe")
