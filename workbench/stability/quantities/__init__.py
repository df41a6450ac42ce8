"""What a recorder can measure: one class for each quantity, and their names."""

from collections.abc import Callable
from functools import partial

from workbench.choices import suggestion
from workbench.moment import Quantity
from workbench.stability.quantities.batch_sharpness import BatchSharpness
from workbench.stability.quantities.frobenius_norm import FrobeniusNorm
from workbench.stability.quantities.gradient_curvature import GradientCurvature
from workbench.stability.quantities.gradient_noise_scale import GradientNoiseScale
from workbench.stability.quantities.gradient_norm import GradientNorm
from workbench.stability.quantities.hessian_trace import HessianTrace
from workbench.stability.quantities.loss import Loss
from workbench.stability.quantities.preconditioned_sharpness import PreconditionedSharpness
from workbench.stability.quantities.sharpness import Sharpness
from workbench.stability.quantities.stability_threshold import StabilityThreshold
from workbench.stability.quantities.taylor_radius import TaylorRadiusAhead
from workbench.stability.quantities.update_norm import UpdateNorm

__all__ = [
    "BUILT_IN",
    "BatchSharpness",
    "FrobeniusNorm",
    "GradientCurvature",
    "GradientNoiseScale",
    "GradientNorm",
    "HessianTrace",
    "Loss",
    "PreconditionedSharpness",
    "Sharpness",
    "StabilityThreshold",
    "TaylorRadiusAhead",
    "UpdateNorm",
    "built_in",
]

BUILT_IN: dict[str, Callable[[], Quantity]] = {
    "loss": Loss,
    "gradient_norm": GradientNorm,
    "gradient_norm_by_layer": partial(GradientNorm, by_layer=True),
    "update_norm": UpdateNorm,
    "update_norm_by_layer": partial(UpdateNorm, by_layer=True),
    "sharpness": Sharpness,
    "sharpness_by_layer": partial(Sharpness, by_layer=True),
    "hessian_trace": HessianTrace,
    "frobenius_norm": FrobeniusNorm,
    "gradient_curvature": GradientCurvature,
    "preconditioned_sharpness": PreconditionedSharpness,
    "batch_sharpness": BatchSharpness,
    "taylor_radius": TaylorRadiusAhead,
    "gradient_noise_scale": GradientNoiseScale,
    "stability_threshold": StabilityThreshold,
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
