"""Swarms of particles: consensus-based optimisation, its likeness to gradient descent, and its rivals."""

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
from workbench.particles.schedules import Schedule
from workbench.particles.swarm import Swarm

__all__ = [
    "LANDSCAPES",
    "ConsensusPoint",
    "Landscape",
    "Schedule",
    "Swarm",
    "ackley",
    "canyon",
    "consensus",
    "consensus_point",
    "himmelblau",
    "landscape",
    "loss_slice_landscape",
    "normals",
    "rastrigin",
    "rosenbrock",
    "sphere",
]
