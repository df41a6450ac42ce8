"""The files that set an environment up agree with one another."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
)


def name(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def test_conda_installs_what_pyproject_lists():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "workbench"
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert {name(entry) for entry in plain} == {"python", "pip", "make"}
    assert pip == ["-c constraints.txt", "-e .[dev]"]
    assert "dev" in PROJECT["optional-dependencies"]


def test_conda_takes_a_python_that_pyproject_allows():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(e for e in environment["dependencies"] if str(e).startswith("python="))
    assert python.removeprefix("python=") in ("3.11", "3.12", "3.13")
    assert PROJECT["requires-python"] == ">=3.11,<3.14"


EXTRAS = [entry for extra in PROJECT["optional-dependencies"].values() for entry in extra]


@pytest.mark.parametrize("requirement", sorted({*PROJECT["dependencies"], *EXTRAS}))
def test_every_requirement_is_pinned(requirement):
    assert name(requirement) in {pin.replace("_", "-") for pin in PINS}


def test_torch_and_triton_are_a_pair_that_every_build_resolves():
    assert PINS["torch"] == "2.13.0"
    assert PINS["triton"] == "3.7.1"
    assert not any("+" in version for version in PINS.values())
