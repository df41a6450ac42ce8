"""A Ctrl-C at any moment of a command is one line."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from workbench import __version__

# The program as its script starts it, interrupted when it first imports a module.
INTERRUPTED_AT = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.argv = ["workbench", *{arguments!r}]
from workbench.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("typer", ["list"]),
        ("workbench.paths", ["--help"]),
        ("workbench.parameters", ["list"]),
        ("workbench.report.compare", ["compare", "a", "b"]),
        ("workbench.report.clean", ["clean", "--dry-run"]),
        ("workbench.report.kernel", ["doctor"]),
    ],
)
def test_while_a_command_is_imported(module: str, arguments: list[str]) -> None:
    code = INTERRUPTED_AT.format(module=module, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "interrupted\n"
    assert done.returncode == 130


def test_where_interrupts_are_ignored_they_stay_ignored() -> None:
    code = INTERRUPTED_AT.format(module="typer", arguments=["--version"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_and_the_script_are_the_same_program() -> None:
    command = [sys.executable, "-m", "workbench", "--version"]
    assert subprocess.check_output(command, text=True) == f"workbench {__version__}\n"
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"workbench": "workbench.__main__:main"}
