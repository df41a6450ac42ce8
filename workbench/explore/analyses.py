"""The explorers that exist, by the name of their notebook; each takes a problem, if only to leave it."""

from collections.abc import Callable
from typing import Any

from workbench.explore.batch_hessian_explorer import batch_hessian
from workbench.explore.batch_size_explorer import batch_size
from workbench.explore.curvature_explorer import curvature
from workbench.explore.directional_attacks_explorer import directional_attacks
from workbench.explore.domain_alignment_explorer import domain_alignment
from workbench.explore.dora_explorer import dora
from workbench.explore.entropy_models_explorer import entropy_models
from workbench.explore.langevin_explorer import langevin
from workbench.explore.large_steps_explorer import large_steps
from workbench.explore.linear_attention_explorer import linear_attention
from workbench.explore.overview_explorer import overview
from workbench.explore.particles_explorer import particles
from workbench.explore.saliency_explorer import saliency
from workbench.explore.schedules_explorer import schedules
from workbench.explore.smoothness_explorer import smoothness
from workbench.explore.stability_explorer import stability
from workbench.explore.taylor_radius_explorer import taylor_radius

ANALYSES: dict[str, Callable[..., Any]] = {
    "overview": overview,
    "curvature": curvature,
    "batch_hessian": batch_hessian,
    "taylor_radius": taylor_radius,
    "stability": stability,
    "batch_size": batch_size,
    "smoothness": smoothness,
    "large_steps": large_steps,
    "schedules": schedules,
    "domain_alignment": domain_alignment,
    "saliency": saliency,
    "particles": particles,
    "langevin": langevin,
    "directional_attacks": directional_attacks,
    "dora": dora,
    "linear_attention": linear_attention,
    "entropy_models": entropy_models,
}
