"""What a run depends on besides its parameters: versions and the machine."""

import functools
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from workbench import __version__

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "plotly",
    "papermill",
    "ipykernel",
    "nbconvert",
)


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python, Workbench and the packages that its numbers and pages rest on."""
    found = {"python": platform.python_version(), "workbench": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> str:
    """Return the operating system and the number of processors in one line."""
    return f"{platform.platform()}, {os.cpu_count()} processors"
