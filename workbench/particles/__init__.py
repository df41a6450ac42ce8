"""Swarms of particles: consensus-based optimisation, its likeness to gradient descent, and its rivals."""

from workbench.particles import attacks
from workbench.particles.comparisons import (
    Comparison,
    Paths,
    annealed_langevin,
    compare,
    gradient_descent,
    minimising_movement,
)
from workbench.particles.consensus_point import ConsensusPoint, consensus_point
from workbench.particles.landscapes import (
    LANDSCAPES,
    Landscape,
    ackley,
    canyon,
    himmelblau,
    landscape,
    loss_slice_landscape,
    rastrigin,
    rosenbrock,
    sphere,
)
from workbench.particles.noise import normals
from workbench.particles.optimization import consensus
from workbench.particles.proximal import proximal_point
from workbench.particles.schedules import Schedule
from workbench.particles.step_comparison import StepComparison, step_comparison
from workbench.particles.success import Success, clopper_pearson, success
from workbench.particles.swarm import Swarm

__all__ = [
    "LANDSCAPES",
    "Comparison",
    "ConsensusPoint",
    "Landscape",
    "Paths",
    "Schedule",
    "StepComparison",
    "Success",
    "Swarm",
    "ackley",
    "annealed_langevin",
    "attacks",
    "canyon",
    "clopper_pearson",
    "compare",
    "consensus",
    "consensus_point",
    "gradient_descent",
    "himmelblau",
    "landscape",
    "loss_slice_landscape",
    "minimising_movement",
    "normals",
    "proximal_point",
    "rastrigin",
    "rosenbrock",
    "sphere",
    "step_comparison",
    "success",
]
