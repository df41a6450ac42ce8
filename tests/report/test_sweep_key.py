"""The name of a run: the same for what gives the same figures, another for what may not."""

import dataclasses
import json
from pathlib import Path

import pytest

from workbench.report import key
from workbench.report.key import run_key
from workbench.report.prepare import Request

REQUEST = Request(
    name="probe",
    title="A probe",
    source="/somewhere/01_probe.ipynb",
    directory="/somewhere",
    preset=None,
    parameters={"k": 1, "problem": "digits-mlp"},
    changed={},
    timeout=10,
    cell_timeout=5,
)


def notebook(code: str = "k = 1", text: str = "# A probe", tags: tuple[str, ...] = ()) -> str:
    cells = [
        {"cell_type": "markdown", "source": [text], "metadata": {}},
        {"cell_type": "code", "source": [code], "metadata": {"tags": list(tags)}},
    ]
    return json.dumps({"cells": cells, "metadata": {}})


def with_problem(problem: str) -> Request:
    return dataclasses.replace(REQUEST, parameters={"k": 1, "problem": problem})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_a_short_name() -> None:
    assert len(run_key(REQUEST, notebook())) == 16
    assert set(run_key(REQUEST, notebook())) <= set("0123456789abcdef")


def test_text_limits_and_threads_do_not_count() -> None:
    other = dataclasses.replace(REQUEST, timeout=1, cell_timeout=1, threads=2, preset="small", title="B")
    assert run_key(other, notebook(text="# B")) == run_key(REQUEST, notebook())


def test_code_tags_and_parameters_count() -> None:
    names = {
        run_key(REQUEST, notebook()),
        run_key(REQUEST, notebook(code="k = 2")),
        run_key(REQUEST, notebook(tags=("parameters",))),
        run_key(dataclasses.replace(REQUEST, parameters={"k": 2, "problem": "digits-mlp"}), notebook()),
        run_key(dataclasses.replace(REQUEST, parameters={"k": 1.0, "problem": "digits-mlp"}), notebook()),
    }
    assert len(names) == 5


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("mine.py", "mine.py:make"),
        ("mine.py", "mine:make"),
        ("pack/part.py", "pack.part:make"),
        ("data.csv", "data.csv"),
    ],
)
def test_what_a_parameter_names_counts(place: Path, file: str, problem: str) -> None:
    (place / file).parent.mkdir(exist_ok=True)
    (place / file).parent.joinpath("__init__.py").touch()
    (place / file).write_text("a = 1\n")
    before = run_key(with_problem(problem), notebook())
    assert run_key(with_problem(problem), notebook()) == before
    (place / file).write_text("a = 2\n")
    assert run_key(with_problem(problem), notebook()) != before


def test_the_source_and_the_versions_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_key(REQUEST, notebook())
    with monkeypatch.context() as patch:
        patch.setattr(key, "_source", lambda: {"problem.py": "another"})
        assert run_key(REQUEST, notebook()) != before
    monkeypatch.setattr(key, "versions", lambda: dict.fromkeys(key._PACKAGES, "another"))
    assert run_key(REQUEST, notebook()) != before


def test_the_source_is_that_of_what_computes() -> None:
    source = key._source()
    assert {"problem.py", "kernels/__init__.py", "curvature/__init__.py", "topics.txt"} <= source.keys()
    assert not any(name.startswith("report/") or name == "cli.py" for name in source)
