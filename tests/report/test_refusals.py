"""Bad input: one line, exit code 2, and no kernel was started."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app

PARAMETERS = """
from typing import Annotated, Literal
from annotated_types import Interval
k: Annotated[int, Interval(ge=1, le=9)] = 3
which: Literal["LA", "SA"] = "LA"
problem: str = "digits-mlp"
"""


@pytest.fixture(autouse=True)
def no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(*arguments: object) -> None:
        raise AssertionError("a run was started")

    monkeypatch.setattr("workbench.cli._launch", launch)


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    return line


@pytest.fixture
def probe(make_notebook: Callable[..., Path]) -> Path:
    return make_notebook(parameters=PARAMETERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "kk", "3"], "has no parameter 'kk'; did you mean 'k'?"),
        (["-p", "k", "abc"], "k = 'abc' is not allowed; expected int, 1 ≤ k ≤ 9"),
        (["-p", "k", "2.5"], "k = '2.5' is not allowed; expected int"),
        (["-p", "k", "-1"], "k = -1 is not allowed; expected int, 1 ≤ k ≤ 9"),
        (["-p", "which", "LAA"], "expected one of 'LA', 'SA'; did you mean 'LA'?"),
        (["-p", "k"], "-p takes a name and a value"),
        (["--preset", "smal"], "has no preset 'smal'; did you mean 'small'?"),
        (["--params", "missing.yaml"], "cannot read missing.yaml"),
        (["-p", "problem", "digits-mpl"], "digits-mlp"),
        (["-p", "problem", "no_such_module:make"], "no_such_module"),
        (["-p", "problem", "no_such_file.py:make"], "no_such_file.py"),
    ],
)
def test_wrong_parameters(probe: Path, arguments: list[str], message: str) -> None:
    line = refused(probe, *arguments)
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "cannot read"), ("- 1", "does not hold"), ("1: 2", "does not")]
)
def test_wrong_parameter_files(probe: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "values.yaml").write_text(text)
    assert message in refused(probe, "--params", tmp_path / "values.yaml")


def test_unknown_notebooks(tmp_path: Path) -> None:
    assert "unknown notebook 'no_such'" in refused("no_such")
    assert "cannot read the notebook" in refused(tmp_path / "no_such.ipynb")
    (tmp_path / "text.ipynb").write_text("text")
    assert "is not a notebook" in refused(tmp_path / "text.ipynb")


def test_unwritable_outputs(probe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("precious")
    assert "cannot write the report" in refused(probe, "-o", tmp_path / "file")
    assert "cannot write the report" in refused(probe, "-o", tmp_path / "file" / "below")
    assert "is not empty" in refused(probe, "-o", tmp_path)
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path / "file"))
    assert "cannot write the report" in refused(probe)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_notebook_whose_defaults_are_wrong(make_notebook: Callable[..., Path]) -> None:
    assert "k = 2.5 is not allowed; expected int" in refused(make_notebook(parameters="k: int = 2.5"))
