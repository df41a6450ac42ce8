"""The grid of a sweep: every value is read and checked, with all faults in one line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.parameters import Notebook, read_notebook
from workbench.report.grid import points, read_grid, split_values

PARAMETERS = """
from typing import Annotated, Literal
from annotated_types import Interval
k: Annotated[int, Interval(ge=1, le=9)] = 3
widths: list[int] = [8]
which: Literal["LA", "SA"] = "LA"
problem: str = "digits-mlp"
rate: float | None = None
"""


@pytest.fixture
def path(make_notebook: Callable[..., Path]) -> Path:
    return make_notebook(parameters=PARAMETERS, small={"k": 2})


@pytest.fixture
def probe(path: Path) -> Notebook:
    return read_notebook(path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1,2", ["1", "2"]),
        ("1", ["1"]),
        (" a , b ", ["a", "b"]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ('{"a": [1,2], "b": 3},{}', ['{"a": [1,2], "b": 3}', "{}"]),
        ("", [""]),
    ],
)
def test_commas_in_brackets_do_not_split(text: str, parts: list[str]) -> None:
    assert split_values(text) == parts


def test_values_get_their_types(probe: Notebook) -> None:
    grid = {"k": "1,2e0", "widths": "[4,4],[2]", "which": ["SA"], "rate": "None,1e-3"}
    assert read_grid(probe, grid, {}, None) == {
        "k": [1, 2],
        "widths": [[4, 4], [2]],
        "which": ["SA"],
        "rate": [None, 1e-3],
    }


def test_the_last_parameter_changes_fastest() -> None:
    assert points({"a": [1, 2], "b": ["x", "y"]}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([], ["needs at least one parameter"]),
        (["-g", "k", "1,20,abc"], ["k = 20 is not allowed; expected int, 1 ≤ k ≤ 9", "k = 'abc'"]),
        (["-g", "k", "0", "-g", "which", "LAA"], ["k = 0 is not allowed", "did you mean 'LA'?"]),
        (["-g", "kk", "1,2"], ["has no parameter 'kk'; did you mean 'k'?"]),
        (["-g", "k", "1,1e0"], ["k has the value 1 twice"]),
        (["-g", "k", "1", "-p", "k", "2"], ["set and swept at once: k"]),
        (["-g", "k", "1", "-p", "which", "X"], ["which = 'X' is not allowed"]),
        (["-g", "k", "1", "--preset", "smal"], ["has no preset 'smal'; did you mean 'small'?"]),
        (["-g", "problem", "digits-mlp,digits-mpl"], ["unknown problem 'digits-mpl'"]),
        (["-g", "k", ""], ["k = '' is not allowed"]),
        (["-g", "k", "1", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], ["one or the other"]),
        (
            ["-g", "k", "1", "--scheduler", "tcp://127.0.0.1:1"],
            ["no Dask scheduler answers at tcp://127.0.0.1:1"],
        ),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    messages: list[str],
) -> None:
    monkeypatch.setattr("workbench.report.cluster._PATIENCE", 1)
    result = CliRunner().invoke(app, ["sweep", str(path), *arguments, "-o", str(tmp_path / "out")])
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    for message in messages:
        assert message in line
    assert not list(tmp_path.rglob("run.json"))


def test_without_dask_one_line_says_how_to_get_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = CliRunner().invoke(app, ["sweep", str(path), "-g", "k", "1", "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert result.stderr == "error: sweeps need Dask's distributed: pip install 'training-workbench[sweep]'\n"
