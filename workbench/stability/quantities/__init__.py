"""What a recorder can measure: one class for each quantity, and their names."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from workbench.choices import suggestion
from workbench.moment import Quantity
from workbench.problem import Problem
from workbench.recorder import set_aside
from workbench.stability.quantities.batch_sharpness import BatchSharpness
from workbench.stability.quantities.exact_radius import ExactRadiusAhead
from workbench.stability.quantities.frobenius_norm import FrobeniusNorm
from workbench.stability.quantities.gradient_curvature import GradientCurvature
from workbench.stability.quantities.gradient_noise_scale import GradientNoiseScale
from workbench.stability.quantities.gradient_norm import GradientNorm
from workbench.stability.quantities.hessian_trace import HessianTrace
from workbench.stability.quantities.layer_radii import LayerRadiiAhead
from workbench.stability.quantities.loss import Loss
from workbench.stability.quantities.preconditioned_sharpness import PreconditionedSharpness
from workbench.stability.quantities.sharpness import Sharpness
from workbench.stability.quantities.stability_threshold import StabilityThreshold
from workbench.stability.quantities.taylor_radius import TaylorRadiusAhead
from workbench.stability.quantities.update_norm import UpdateNorm

__all__ = [
    "BUILT_IN",
    "BatchSharpness",
    "ExactRadiusAhead",
    "FrobeniusNorm",
    "GradientCurvature",
    "GradientNoiseScale",
    "GradientNorm",
    "HessianTrace",
    "LayerRadiiAhead",
    "Loss",
    "PreconditionedSharpness",
    "Sharpness",
    "StabilityThreshold",
    "TaylorRadiusAhead",
    "UpdateNorm",
    "built_in",
    "catalogue",
]

_LAYERED: dict[str, Callable[..., Quantity]] = {
    "gradient_norm": GradientNorm,
    "update_norm": UpdateNorm,
    "sharpness": Sharpness,
    "hessian_trace": HessianTrace,
    "frobenius_norm": FrobeniusNorm,
    "gradient_curvature": GradientCurvature,
    "preconditioned_sharpness": PreconditionedSharpness,
    "batch_sharpness": BatchSharpness,
    "taylor_radius": TaylorRadiusAhead,
    "gradient_noise_scale": GradientNoiseScale,
}

BUILT_IN: dict[str, Callable[[], Quantity]] = {
    "loss": Loss,
    **_LAYERED,
    "exact_radius": ExactRadiusAhead,
    "stability_threshold": StabilityThreshold,
    **{f"{name}_by_layer": partial(kind, by_layer=True) for name, kind in _LAYERED.items()},
    "layer_radii": LayerRadiiAhead,
}


def built_in(name: str) -> Quantity:
    """Return the quantity of this name, with its usual settings.

    Raises
    ------
    ValueError
        If there is none, with the nearest name.
    """
    if name not in BUILT_IN:
        raise ValueError(
            f"quantity {name!r} is not known: there is {', '.join(BUILT_IN)}{suggestion(name, BUILT_IN)}"
        )
    return BUILT_IN[name]()


def catalogue(problem: Problem, optimizer: Any) -> pd.DataFrame:
    """List what a recorder can measure here, one row per name, before anything is measured.

    Columns: ``name``; ``what`` it is; ``gradients``, what a measurement is expected to take, in gradients
    over the problem's data; ``refused``, empty or why it cannot be measured here (``gradients`` is nan then).

    Parameters
    ----------
    problem, optimizer
        As for a :class:`~workbench.recorder.Recorder`.

    Notes
    -----
    Cost: most quantities look at a small batch; ``exact_radius`` takes two gradients, and solves for some
    examples. The model is left as it is.
    """
    rows = []
    for name in BUILT_IN:
        quantity = built_in(name)
        what = (type(quantity).__doc__ or "").partition(".")[0]
        if name.endswith("_by_layer"):
            what += ", of each layer"
        refused = ""
        try:
            with set_aside(problem.model):
                quantity.prepare(problem, optimizer)
        except ValueError as error:
            refused = str(error)
        cost = math.nan if refused else float(quantity.cost)
        rows.append({"name": name, "what": what, "gradients": cost, "refused": refused})
    return pd.DataFrame(rows)
