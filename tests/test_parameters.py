import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.parameters import Notebook, list_notebooks, read_notebook

CELL = """
from typing import Annotated, Literal
from annotated_types import Interval

problem: str = "digits # cnn"  # what is analysed
k: Annotated[int, Interval(ge=1, le=200)] = 10  # number of eigenpairs
rate: Annotated[float, Interval(gt=0, le=1)] = 0.5  # step size
which: Literal["LA", "SA", 3] = "LA"  # end of the spectrum
limit: Annotated[int, Interval(ge=0)] | None = None  # examples
deep: bool = False
ranks: list[int] = [
    1,
    2,
]  # several
extra: int | float | str = "auto"
copy: dict[str, float] = {"a": 1.0}
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(
        source: str, *, name: str = "07_some_thing.ipynb", metadata: dict | None = None, cells=()
    ) -> Path:
        cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source.splitlines(True)}
        content = {"cells": [*cells, cell], "metadata": metadata or {}, "nbformat": 4, "nbformat_minor": 5}
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def notebook(write) -> Notebook:
    presets = {"small": {"k": 3, "which": "SA"}, "wrong": {"k": 0}}
    return read_notebook(write(CELL, metadata={"workbench": {"presets": presets}}))


def test_the_cell_is_read_with_types_ranges_and_meanings(notebook: Notebook) -> None:
    assert notebook.name == "some_thing"
    rows = {p.name: (p.type, p.default, p.range, p.meaning) for p in notebook.parameters}
    assert list(rows) == ["problem", "k", "rate", "which", "limit", "deep", "ranks", "extra", "copy"]
    assert rows["problem"] == ("str", "digits # cnn", "", "what is analysed")
    assert rows["k"] == ("int", 10, "1 ≤ k ≤ 200", "number of eigenpairs")
    assert rows["rate"] == ("float", 0.5, "0 < rate ≤ 1", "step size")
    assert rows["which"] == ("choice", "LA", "'LA', 'SA', 3", "end of the spectrum")
    assert rows["limit"] == ("int | None", None, "0 ≤ limit", "examples")
    assert rows["deep"] == ("bool", False, "", "")
    assert rows["ranks"] == ("list[int]", [1, 2], "", "several")
    k, which = notebook.parameters[1], notebook.parameters[3]
    assert (k.minimum, k.maximum, k.choices) == (1, 200, None)
    assert (which.minimum, which.maximum, which.choices) == (None, None, ("LA", "SA", 3))


def test_the_cell_runs_as_python_and_its_defaults_are_those_read(notebook: Notebook) -> None:
    names: dict = {}
    exec(CELL, names)
    assert all(names[p.name] == p.default for p in notebook.parameters)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("problem", "None", "None"),
        ("problem", "3", "3"),
        ("k", "20", 20),
        ("k", "1e2", 100),
        ("rate", "1e-3", 0.001),
        ("rate", "1", 1.0),
        ("which", "SA", "SA"),
        ("which", "3", 3),
        ("limit", "None", None),
        ("limit", "7", 7),
        ("deep", "True", True),
        ("deep", "false", False),
        ("ranks", "[4, 5]", [4, 5]),
        ("ranks", "[]", []),
        ("extra", "-2", -2),
        ("extra", "2.5", 2.5),
        ("extra", "word", "word"),
        ("copy", '{"b": 2.5}', {"b": 2.5}),
    ],
)
def test_text_is_read_by_type_and_written_back(
    notebook: Notebook, name: str, text: str, value: object
) -> None:
    read = notebook.validate({name: text})[name]
    assert read == value
    assert type(read) is type(value)
    parameter = next(p for p in notebook.parameters if p.name == name)
    assert notebook.validate({name: parameter.text(read)})[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("problem", 3),
        ("k", True),
        ("k", 2.5),
        ("k", "2.5"),
        ("k", "abc"),
        ("k", "nan"),
        ("k", 0),
        ("k", "201"),
        ("k", None),
        ("rate", "nan"),
        ("rate", float("nan")),
        ("rate", "inf"),
        ("rate", 0),
        ("rate", True),
        ("which", "LM"),
        ("which", True),
        ("limit", -1),
        ("limit", "none"),
        ("deep", "1"),
        ("deep", 1),
        ("ranks", "1"),
        ("ranks", "[1, 2.5]"),
        ("ranks", "[1, true]"),
        ("ranks", "[1"),
        ("copy", '{"a": NaN}'),
        ("copy", "[1]"),
    ],
)
def test_wrong_values_are_refused_in_one_line_with_name_and_value(
    notebook: Notebook, name: str, value: object
) -> None:
    with pytest.raises(ValueError, match=rf"^{name} = .* is not allowed; expected ") as caught:
        notebook.validate({name: value})
    assert "\n" not in str(caught.value)


def test_an_int_becomes_a_float_where_a_float_is_asked(notebook: Notebook) -> None:
    value = notebook.validate({"rate": 1})["rate"]
    assert value == 1.0
    assert isinstance(value, float)


def test_refusals_say_the_range_and_the_near_choice(notebook: Notebook) -> None:
    for asked in (500, "500"):
        with pytest.raises(ValueError, match=r"k = 500 is not allowed; expected int, 1 ≤ k ≤ 200$"):
            notebook.validate({"k": asked})
    with pytest.raises(ValueError, match=r"k = 'many' is not allowed"):
        notebook.validate({"k": "many"})
    with pytest.raises(ValueError, match=r"expected one of 'LA', 'SA', 3; did you mean 'LA'\?$"):
        notebook.validate({"which": "LAA"})


def test_unknown_names_suggest_the_near_one_and_everything_wrong_is_told_at_once(notebook: Notebook) -> None:
    with pytest.raises(ValueError, match=r"no parameter 'rates'; did you mean 'rate'\?") as caught:
        notebook.validate({"rates": 1, "k": "x", "which": "y"})
    assert "k = 'x'" in str(caught.value)
    assert "which = 'y'" in str(caught.value)


def test_values_win_over_the_preset_and_the_preset_over_the_defaults(notebook: Notebook) -> None:
    values = notebook.validate({"k": "5"}, "small")
    assert (values["k"], values["which"], values["rate"]) == (5, "SA", 0.5)
    assert list(values) == [p.name for p in notebook.parameters]
    with pytest.raises(ValueError, match=r"no preset 'smal'; did you mean 'small'"):
        notebook.validate({}, "smal")


def test_lint_names_the_preset_or_the_default_that_is_wrong(notebook: Notebook, write) -> None:
    with pytest.raises(ValueError, match=r"preset 'wrong': k = 0 is not allowed"):
        notebook.lint()
    with pytest.raises(ValueError, match=r"defaults: k = 2.5 is not allowed"):
        read_notebook(write("k: int = 2.5")).lint()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("k = 3", r"'k = 3' is neither an import nor an assignment"),
        ("k: int", "has no default"),
        ("k: int = 1 + n", "is not a literal"),
        ("k: int = print(1)", "is not a literal"),
        ("k: int = 1\nk: int = 2", "'k' is assigned twice"),
        ("print(1)", "is neither an import"),
        ("%matplotlib inline", "line 1: invalid syntax"),
        ("k: Path = 1", "unknown name 'Path'"),
        ("k: int.__class__ = 1", "is more than names"),
        ("k: [int for int in [1]] = 1", "is more than names"),
        ("k: set = 1", "unknown name 'set'"),
        ("k: Annotated[int, 3] = 1", "supported are"),
        ("k: Annotated[str, Interval(ge=1)] = 'a'", "an Interval bounds an int or a float"),
        ("k: Interval(more=1) = 1", "not usable"),
    ],
)
def test_anything_else_in_the_cell_is_an_error_of_the_notebook(write, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^07_some_thing\.ipynb, parameters cell: .*{message}"):
        read_notebook(write(source))


def test_reading_runs_nothing(write, tmp_path: Path) -> None:
    trap = f"import os\nk: int(open({str(tmp_path / 'trap')!r}, 'w')) = 1"
    with pytest.raises(ValueError, match="unknown name 'open'"):
        read_notebook(write(trap))
    assert not (tmp_path / "trap").exists()


def test_the_title_stands_in_the_metadata_or_the_first_heading(write) -> None:
    heading = {"cell_type": "markdown", "metadata": {}, "source": ["text\n", "# Sharp and flat\n"]}
    assert read_notebook(write("", cells=[heading])).title == "Sharp and flat"
    named = write("", cells=[heading], metadata={"workbench": {"title": "Another"}})
    assert read_notebook(named).title == "Another"
    assert read_notebook(write("")).title == "some_thing"


def test_what_is_not_a_notebook_is_refused(tmp_path: Path, write, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="cannot read the notebook"):
        read_notebook(tmp_path / "missing.ipynb")
    for text in ("", "[]", "{}", '{"cells": [3], "metadata": {}}'):
        (tmp_path / "broken.ipynb").write_text(text)
        with pytest.raises(ValueError, match="is not a notebook"):
            read_notebook(tmp_path / "broken.ipynb")
    write("k: int = 1", name="01_curvature.ipynb")
    monkeypatch.setattr("workbench.paths.notebooks", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"unknown notebook 'curvatur'; did you mean 'curvature'\?"):
        read_notebook("curvatur")
    assert read_notebook("curvature").path == tmp_path / "01_curvature.ipynb"


def test_two_parameters_cells_are_refused(write) -> None:
    second = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "j: int = 1"}
    with pytest.raises(ValueError, match="has 2 cells with the tag 'parameters'"):
        read_notebook(write("k: int = 1", cells=[second]))


def test_a_notebook_without_the_tag_says_what_to_do(write) -> None:
    path = write("k: int = 1")
    path.write_text(path.read_text().replace('"parameters"', '"paramters"'))
    notebook = read_notebook(path)
    assert notebook.parameters == ()
    assert notebook.validate({}) == {}
    words = "07_some_thing.ipynb has no parameters to set: give the tag 'parameters' to the cell"
    with pytest.raises(ValueError, match=words):
        notebook.validate({"k": 3})


def test_shipped_notebooks_pass_the_lint() -> None:
    for notebook in list_notebooks():
        notebook.lint()
        assert "small" in notebook.presets, (
            f"{notebook.path.name} has no preset `small` for `workbench check`"
        )
        assert all(parameter.meaning for parameter in notebook.parameters)


def test_reading_a_notebook_imports_nothing_heavy(write) -> None:
    code = (
        "import sys; from workbench.parameters import read_notebook;"
        f"read_notebook({str(write('k: int = 1'))!r});"
        "print([m for m in ('torch', 'papermill', 'nbformat', 'pydantic', 'plotly') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
