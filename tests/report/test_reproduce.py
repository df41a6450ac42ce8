"""The line on a report that runs it again: read back by the shell and by the command line itself."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.parameters import read_notebook
from workbench.report.prepare import prepare, read_request
from workbench.report.reproduce import command

PARAMETERS = """
text: str = 'a'
k: int = 10
rate: float = 0.1
ranks: list[int] = [1]
maybe: int | None = 3
rest: int = 5
"""
VALUES = {
    "text": 'it\'s </script> $HOME `x` "q" = ü',
    "k": -3,
    "rate": 1e-7,
    "ranks": [1, 2],
    "maybe": None,
}


def test_the_line_asks_for_the_same_run(
    make_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_notebook("pass", parameters=PARAMETERS)
    notebook = read_notebook(path)
    request = read_request(prepare(notebook, VALUES))
    line = command(request, notebook.parameters)
    words = json.loads(
        subprocess.check_output(
            [
                "sh",
                "-c",
                line.replace(
                    "workbench", "python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))'", 1
                ),
            ]
        )
    )
    assert words[:2] == ["report", str(path)]
    assert "rest" not in words
    monkeypatch.setattr("workbench.cli._launch", lambda folder: {"exit_code": 0})
    again = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "again")])
    assert again.exit_code == 0, again.output
    assert read_request(tmp_path / "again").parameters == request.parameters


def test_a_shipped_notebook_goes_by_its_name(
    make_notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_notebook("pass", name="07_mine", parameters="k: int = 1")
    monkeypatch.setattr("workbench.paths.notebooks", lambda: path.parent)
    notebook = read_notebook("mine")
    assert command(read_request(prepare(notebook, {})), notebook.parameters) == "workbench report mine"
