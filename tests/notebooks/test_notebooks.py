"""Every notebook that ships is clean, describes itself, and runs to the figures of its baseline."""

import json

import pytest
from typer.testing import CliRunner

from workbench import paths
from workbench.cli import app
from workbench.parameters import list_notebooks
from workbench.report.picture import first_picture

NOTEBOOKS = list_notebooks()
BASELINES = paths.baselines()  # as they are committed; tests of reports name another place


def test_there_are_notebooks():
    assert "curvature" in [notebook.name for notebook in NOTEBOOKS]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
class TestEachNotebook:
    def test_defaults_and_presets_are_allowed(self, notebook):
        notebook.lint()
        assert "small" in notebook.presets
        assert all(parameter.meaning for parameter in notebook.parameters)

    def test_no_output_is_kept(self, notebook):
        content = json.loads(notebook.path.read_text())
        assert "widgets" not in content["metadata"]
        assert content["metadata"]["kernelspec"]["name"] == "python3"
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                assert not cell["outputs"]
                assert cell["execution_count"] is None

    def test_it_holds_no_analysis_of_its_own(self, notebook):
        content = json.loads(notebook.path.read_text())
        code = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
        assert not any(line.startswith(("def ", "class ")) for cell in code for line in cell.splitlines())

    def test_a_reader_finds_it(self, notebook):
        readme = (paths.notebooks().resolve().parent / "README.md").read_text()
        row = f"| `{notebook.name}` | "
        assert row in readme, "add this row to the table of README.md"
        if notebook.name != "start":
            (start,) = [each.path for each in NOTEBOOKS if each.name == "start"]
            text = "".join("".join(cell["source"]) for cell in json.loads(start.read_text())["cells"])
            row = f"| [{notebook.title}]({notebook.path.name}) | "
            assert row in text, f"add this row to the table of {start.name}"

    def test_it_runs_to_the_figures_of_its_baseline(self, notebook, tmp_path, monkeypatch):
        monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path))
        (tmp_path / "baselines").symlink_to(BASELINES)
        result = CliRunner().invoke(app, ["check", notebook.name])
        assert result.exit_code == 0, result.output
        (run,) = (tmp_path / notebook.name).iterdir()
        shows = first_picture(run / "notebook.ipynb") is not None
        assert (BASELINES / f"{notebook.name}.png").exists() == shows, "workbench check --update stores it"
