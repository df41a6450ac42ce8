import json
import os
import subprocess
import sys
from pathlib import Path

import jupyterlab
import pytest
from typer.testing import CliRunner

from workbench import __version__
from workbench.cli import _lab_folder, _read_params, app
from workbench.doctor import Finding

PARAMETERS = """
from typing import Annotated, Literal
from annotated_types import Interval
k: Annotated[int, Interval(ge=1, le=200)] = 10  # number of [bold] eigenpairs
which: Literal["LA", "SA"] = "LA"  # the end of the spectrum
ranks: list[int] = [1, 2]  # several
a_name_that_is_rather_long: int | None = None  # and a meaning that needs more room than one line has
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebooks folder with two notebooks."""
    for name, title in (("02_second", "After that"), ("01_first", "To begin with")):
        cells = [
            {"cell_type": "markdown", "metadata": {}, "source": f"# {title}"},
            {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": PARAMETERS},
        ]
        metadata = {"workbench": {"presets": {"small": {"k": 3}}}}
        content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(content))
    monkeypatch.setattr("workbench.paths.notebooks", lambda: tmp_path)
    return tmp_path


def test_list_is_one_line_each_in_order(shelf: Path) -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    assert result.stdout == "first   To begin with\nsecond  After that\n"


def test_describe_shows_the_schema_and_the_presets(shelf: Path) -> None:
    result = CliRunner().invoke(app, ["describe", "first"], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["k", "int", "10", *["1", "≤", "k", "≤", "200"], *["number", "of", "[bold]", "eigenpairs"]] in rows
    assert ["which", "choice", "LA", "'LA',", "'SA'", *["the", "end", "of", "the", "spectrum"]] in rows
    assert ["ranks", "list[int]", "[1,", "2]", "several"] in rows
    assert "preset small: k = 3" in result.stdout


def test_a_narrow_terminal_cuts_no_name(shelf: Path) -> None:
    result = CliRunner().invoke(app, ["describe", "first"], env={"COLUMNS": "80"})
    assert "a_name_that_is_rather_long " in result.stdout
    assert "…" not in result.stdout


def test_describe_refuses_an_unknown_notebook_in_one_line(shelf: Path) -> None:
    result = CliRunner().invoke(app, ["describe", "frist"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: unknown notebook 'frist'; did you mean 'first'?")
    assert len(result.stderr.splitlines()) == 1


def test_describe_tells_of_a_wrong_preset(shelf: Path) -> None:
    path = shelf / "01_first.ipynb"
    path.write_text(path.read_text().replace('{"k": 3}', '{"k": 0}'))
    result = CliRunner().invoke(app, ["describe", "first"])
    assert result.exit_code == 2
    assert "preset 'small': k = 0 is not allowed; expected int, 1 ≤ k ≤ 200" in result.stderr


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"workbench {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["report", "--help"], ["clean", "--help"]])
def test_heavy_packages_are_imported_only_by_commands_that_need_them(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['workbench', *{arguments}]\n"
        "from workbench.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'papermill', 'plotly', 'nbconvert', 'nbformat', 'pandas', "
        "'rich') if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr == "[]\n"


def test_init_writes_a_file_and_prints_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["init"])
    assert result.exit_code == 0
    assert "workbench report curvature -p problem my_problem.py:make --open\n" in result.stdout
    (tmp_path / "my_problem.py").write_text("precious")
    result = CliRunner().invoke(app, ["init"])
    assert result.exit_code == 2
    assert result.stderr == "error: my_problem.py exists and is not overwritten; name another file\n"
    assert (tmp_path / "my_problem.py").read_text() == "precious"


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_doctor_is_a_table_and_exits_1_if_there_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    found = [Finding("memory", "ok", "[bold] 3 GB"), Finding("disk", state, "a value", "free some space")]
    monkeypatch.setattr("workbench.doctor.examine", lambda: found)
    result = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "120"})
    assert result.exit_code == code
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["memory", "ok", "[bold]", "3", "GB"] in rows
    assert ["disk", state, "a", "value", "free", "some", "space"] in rows


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_parameters_file_sets_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "values.yaml").write_text(text)
    assert _read_params(tmp_path / "values.yaml") == {}


def test_lab_is_the_jupyterlab_of_this_interpreter_and_passes_arguments_on() -> None:
    command = [sys.executable, "-c", "from workbench.cli import main; main()", "lab", "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert version == jupyterlab.__version__


def test_lab_starts_in_the_folder_with_threads_that_sleep(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("workbench.cli._lab_folder", lambda: shelf)
    monkeypatch.setattr("os.execv", lambda executable, command: called.append(command))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # so that the test does not leave it set
    CliRunner().invoke(app, ["lab", "--no-browser", "--port=1"])
    assert called == [[sys.executable, "-m", "jupyterlab", "--no-browser", "--port=1", str(shelf)]]
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], ["--allow-root"]),
        (["--allow-root"], ["--allow-root"]),
        (["--ServerApp.allow_root=False"], ["--ServerApp.allow_root=False"]),
    ],
)
def test_root_is_allowed_unless_the_user_says_something_of_it(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], passed: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("workbench.cli._lab_folder", lambda: shelf)
    monkeypatch.setattr("os.execv", lambda executable, command: called.append(command))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for variable in ("OMP_WAIT_POLICY", "JUPYTER_PREFER_ENV_PATH"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))  # so that the test does not leave it set
    CliRunner().invoke(app, ["lab", *given])
    assert called == [[sys.executable, "-m", "jupyterlab", *passed, str(shelf)]]


def test_an_installed_lab_works_on_a_copy_and_keeps_what_the_user_changed(
    shelf: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(home / name))
    folder = _lab_folder()
    assert folder.is_relative_to(home)
    assert sorted(path.name for path in folder.iterdir()) == ["01_first.ipynb", "02_second.ipynb"]
    (folder / "01_first.ipynb").write_text("mine")
    assert _lab_folder() == folder
    assert (folder / "01_first.ipynb").read_text() == "mine"
    assert (shelf / "01_first.ipynb").read_text() != "mine"


def test_a_checkout_is_edited_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "link").symlink_to("notebooks")
    monkeypatch.setattr("workbench.paths.notebooks", lambda: tmp_path / "link")
    assert _lab_folder() == tmp_path / "notebooks"
