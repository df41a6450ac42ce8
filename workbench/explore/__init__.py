"""Explorers: one interactive view per analysis, for JupyterLab; a still picture in a report."""

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
from workbench.explore.live_trace import live
from workbench.explore.overview_explorer import overview
from workbench.explore.particles_explorer import particles
from workbench.explore.saliency_explorer import saliency
from workbench.explore.schedules_explorer import schedules
from workbench.explore.smoothness_explorer import smoothness
from workbench.explore.stability_explorer import stability
from workbench.explore.start import start
from workbench.explore.taylor_radius_explorer import taylor_radius

__all__ = [
    "batch_hessian",
    "batch_size",
    "curvature",
    "directional_attacks",
    "domain_alignment",
    "dora",
    "entropy_models",
    "langevin",
    "large_steps",
    "linear_attention",
    "live",
    "overview",
    "particles",
    "saliency",
    "schedules",
    "smoothness",
    "stability",
    "start",
    "taylor_radius",
]
