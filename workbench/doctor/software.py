"""Versions, and whether they are those that Workbench asks for."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from workbench import __version__, paths
from workbench.doctor.finding import OK, PROBLEM, WARNING, Finding

_DISTRIBUTION = "training-workbench"
# Those that a question about a report begins with; torch has more to say for itself.
_SHOWN = ("triton", "numpy", "jupyterlab", "ipykernel", "ipywidgets", "anywidget", "plotly", "papermill")


def check_software() -> Iterator[Finding]:
    """Show the versions that matter most, and every package that is missing or too old."""
    yield Finding("python", OK, f"{platform.python_version()}, {sys.executable}")
    yield Finding("workbench", OK, f"{__version__}, {paths.PACKAGE}")
    requirements = _requirements()
    if not requirements:
        advice = "install it: pip install -c constraints.txt -e . in its checkout"
        yield Finding("requirements", WARNING, f"{_DISTRIBUTION} is not installed, only imported", advice)
    found = [_package(requirement) for requirement in requirements]
    yield from (each for each in found if each.check in _SHOWN or each.state != OK)
    rest = sum(each.check not in _SHOWN and each.state == OK for each in found)
    if rest:
        yield Finding("other packages", OK, f"{rest}, each as required")
    yield _dask()


def _requirements() -> list[Requirement]:
    try:
        listed = [Requirement(text) for text in requires(_DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return []
    return [each for each in listed if each.marker is None or each.marker.evaluate({"extra": ""})]


def _package(requirement: Requirement) -> Finding:
    advice = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return Finding(requirement.name, PROBLEM, "not installed", advice)
    if not requirement.specifier.contains(installed, prereleases=True):
        return Finding(requirement.name, PROBLEM, f"{installed}, not {requirement.specifier}", advice)
    return Finding(requirement.name, OK, installed)


def _dask() -> Finding:
    try:
        return Finding("distributed", OK, version("distributed"))
    except PackageNotFoundError:
        advice = f"for `workbench sweep`: pip install '{_DISTRIBUTION}[sweep]'"
        return Finding("distributed", WARNING, "not installed", advice)
