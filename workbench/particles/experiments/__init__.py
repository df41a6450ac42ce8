"""Experiments of the literature on swarms, as functions that return results."""

from workbench.particles.experiments.landscape_crossing import Crossing, cross
from workbench.particles.experiments.loss_planes import loss_plane
from workbench.particles.experiments.network_contest import NetworkContest, train_both
from workbench.particles.experiments.rivals import equal_evaluations
from workbench.particles.experiments.step_regimes import step_regime
from workbench.particles.experiments.success_grid import SuccessTable, success_table
from workbench.particles.experiments.variance_rates import VarianceDecay, variance_decay

__all__ = [
    "Crossing",
    "NetworkContest",
    "SuccessTable",
    "VarianceDecay",
    "cross",
    "equal_evaluations",
    "loss_plane",
    "step_regime",
    "success_table",
    "train_both",
    "variance_decay",
]
