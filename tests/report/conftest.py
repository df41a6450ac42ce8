"""Small notebooks, made in code, and a place for their runs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

# A machine may have any kernel registered under the name of ours.
FOREIGN_KERNEL = {"argv": ["false", "{connection_file}"], "display_name": "Foreign", "language": "python"}


@pytest.fixture(scope="session", autouse=True)
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a reports folder, on a machine with settings that should not matter."""
    folder = tmp_path_factory.mktemp("workplace")
    kernels = folder / "jupyter" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(json.dumps(FOREIGN_KERNEL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_REPORTS", str(folder / "reports"))
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.setenv("MPLBACKEND", "Agg")
        patch.delenv("OMP_WAIT_POLICY", raising=False)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="session")
def make_notebook(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def make_notebook(
        *cells: str, name: str = "01_probe", parameters: str = "", small: dict | None = None
    ) -> Path:
        first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        notebook = new_notebook(
            cells=[new_markdown_cell("# A probe"), first, *map(new_code_cell, cells)],
            metadata={"workbench": {"presets": {"small": small or {}}}},
        )
        path = tmp_path_factory.mktemp("notebooks") / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    return make_notebook


@pytest.fixture
def start_workbench() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a command as a shell does; whatever still runs at the end is killed."""
    started: list[subprocess.Popen] = []

    def start_workbench(*arguments: object, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", "from workbench.cli import main; main()", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_workbench
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def start_report(start_workbench: Callable[..., subprocess.Popen]) -> Callable[..., subprocess.Popen]:
    return partial(start_workbench, "report")
