"""A report that succeeds: what is in its folder, and what its kernel saw."""

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from workbench.cli import app
from workbench.report.launch import launch
from workbench.report.processes import run_processes

PARAMETERS = """
k: int = 3  # how many
text: str = "plain"  # what is said
seed: int = 7  # of the numbers
"""
STORY = """
import json, os, sys
import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display
display(ipywidgets.IntSlider())
plt.plot([1, 2]);
"""
RECORD = """
import pandas as pd
import workbench as wb

class Table:
    def frame(self): return pd.DataFrame({"k": [k]})
    def save(self, path): path.parent.mkdir(exist_ok=True); path.write_bytes(b"whole")

wb.record("twice", 2 * k, rtol=0.1)
wb.record("table", Table())
print(json.dumps([text, sys.executable, os.getcwd(), dict(os.environ)]))
"""
TEXT = "say \"ä\\n\"\nand '$x' {k}"


class Finished:
    def __init__(self, result: Result, folder: Path, opened: list[str]) -> None:
        self.result, self.folder, self.opened = result, folder, opened
        self.run = json.loads((folder / "run.json").read_text())
        self.notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)
        self.seen = json.loads(self.notebook.cells[-1].outputs[0].text)


@pytest.fixture(scope="module")
def finished(
    make_notebook: Callable[..., Path], workplace: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    path = make_notebook(STORY, "   ", RECORD, parameters=PARAMETERS, small={"k": 2, "seed": 1})
    folder = tmp_path_factory.mktemp("out") / "new" / "with {braces}"
    (workplace / "values.yaml").write_text("k: 1e1\nseed: 5\n")
    opened: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("webbrowser.open", opened.append)
        arguments = ["-p", "k", "-4", "-p", "text", TEXT, "--params", "values.yaml", "--preset", "small"]
        result = CliRunner().invoke(app, ["report", str(path), *arguments, "-o", str(folder), "--open"])
    assert result.exit_code == 0, result.output
    return Finished(result, folder, opened)


def test_it_says_where_the_page_is_and_opens_it(finished: Finished) -> None:
    assert finished.result.stderr == ""
    lines = finished.result.stdout.splitlines()
    assert lines[-1] == str(finished.folder / "report.html")
    assert finished.opened == [(finished.folder / "report.html").as_uri()]


def test_it_shows_one_line_per_cell(finished: Finished) -> None:
    lines = finished.result.stdout.splitlines()[1:-1]
    assert [line.split()[0] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert all(line.endswith(" s") for line in lines)


def test_values_win_over_the_file_and_the_file_over_the_preset(finished: Finished) -> None:
    assert finished.run["parameters"] == {"k": -4, "text": TEXT, "seed": 5}
    assert finished.run["preset"] == "small"


def test_the_kernel_gets_the_values_as_they_were_given(finished: Finished) -> None:
    assert finished.seen[0] == TEXT
    assert finished.run["recorded"] == {"twice": {"value": -8, "rtol": 0.1, "atol": 0.0}}


def test_the_kernel_is_this_interpreter_in_this_directory(finished: Finished, workplace: Path) -> None:
    _, executable, directory, environment = finished.seen
    assert Path(executable) == Path(sys.executable)
    assert directory == str(workplace)
    assert environment["WORKBENCH_RUN"] == str(finished.folder)
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "inline" in environment["MPLBACKEND"]


def test_run_json_tells_what_the_run_was(finished: Finished) -> None:
    run = finished.run
    assert (run["status"], run["exit_code"], run["error"]) == ("ok", 0, None)
    assert run["seed"] == 5
    assert run["notebook"] == "probe"
    assert run["versions"]["python"] == sys.version.split()[0]
    assert {"torch", "numpy", "workbench"} <= run["versions"].keys()
    assert [cell["cell"] for cell in run["cells"]] == [1, 2, 3, 4]
    assert all(cell["completed"] for cell in run["cells"])
    assert 0 < sum(cell["seconds"] for cell in run["cells"]) < run["seconds"]


def test_results_are_files(finished: Finished) -> None:
    assert (finished.folder / "results" / "table.npz").read_bytes() == b"whole"
    assert pd.read_parquet(finished.folder / "results" / "table.parquet")["k"].tolist() == [-4]


def test_the_saved_notebook_has_the_picture_and_no_widget_state(finished: Finished) -> None:
    pictures = [
        output.data["image/png"]
        for cell in finished.notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert base64.b64decode(pictures[0]).startswith(b"\x89PNG")
    assert "widgets" not in finished.notebook.metadata
    assert not any("papermill" in cell.metadata for cell in finished.notebook.cells)


def test_the_page_has_the_picture_and_the_parameters(finished: Finished) -> None:
    page = (finished.folder / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "what is said" in page
    assert "A probe" in page


def test_nothing_is_logged_and_no_process_is_left(finished: Finished) -> None:
    assert (finished.folder / "log.txt").read_text() == ""
    assert run_processes(finished.folder) == set()


def test_a_folder_runs_once(finished: Finished) -> None:
    before = (finished.folder / "run.json").stat().st_mtime_ns
    assert launch(finished.folder) == finished.run
    assert (finished.folder / "run.json").stat().st_mtime_ns == before
