"""Workbench: interactive, notebook-first analysis of the training of neural networks.

Everything is imported on first use, so that ``workbench --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench import (
        adaptation,
        attention,
        compression,
        curvature,
        domains,
        explore,
        inspection,
        kernels,
        layers,
        overview,
        particles,
        saliency,
        stability,
    )
    from workbench.moment import Quantity
    from workbench.overview import Overview, analyze
    from workbench.problem import Problem
    from workbench.problems import list_problems, load_problem
    from workbench.recorder import Recorder
    from workbench.recording import record
    from workbench.result import Estimate, Result, load_result
    from workbench.trace_file import load_trace

__version__ = "0.1.0"
__all__ = [
    "Estimate",
    "Overview",
    "Problem",
    "Quantity",
    "Recorder",
    "Result",
    "adaptation",
    "analyze",
    "attention",
    "compression",
    "curvature",
    "domains",
    "explore",
    "inspection",
    "kernels",
    "layers",
    "list_problems",
    "load_problem",
    "load_result",
    "load_trace",
    "overview",
    "particles",
    "record",
    "saliency",
    "stability",
]

_HOME = {
    "Estimate": "workbench.result",
    "Overview": "workbench.overview",
    "Problem": "workbench.problem",
    "Quantity": "workbench.moment",
    "Recorder": "workbench.recorder",
    "Result": "workbench.result",
    "analyze": "workbench.overview",
    "list_problems": "workbench.problems",
    "load_problem": "workbench.problems",
    "load_result": "workbench.result",
    "load_trace": "workbench.trace_file",
    "record": "workbench.recording",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in __all__:
        return import_module(f"workbench.{name}")
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
