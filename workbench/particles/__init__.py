"""Swarms of particles: consensus-based optimisation, its likeness to gradient descent; planted directions."""

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
from workbench.particles.network_objective import network_objective
from workbench.particles.network_training import NetworkTraining, train_by_consensus, train_by_sgd
from workbench.particles.noise import normals
from workbench.particles.optimization import consensus
from workbench.particles.planted.ascent import ascend
from workbench.particles.planted.chain_run import ChainRun
from workbench.particles.planted.chains import langevin
from workbench.particles.planted.index_models import IndexModel, single_index
from workbench.particles.planted.laws import ExactLaws, exact_laws
from workbench.particles.planted.minibatches import minibatch_sgd
from workbench.particles.planted.model import Planted, averaging_time
from workbench.particles.planted.online import online_sgd
from workbench.particles.planted.phase_table import PhaseDiagram
from workbench.particles.planted.phases import phase_diagram
from workbench.particles.planted.smoothing import smoothed_ascent
from workbench.particles.planted.tensors import TensorModel, tensor_pca
from workbench.particles.proximal import proximal_point
from workbench.particles.schedules import Schedule
from workbench.particles.step_comparison import StepComparison, step_comparison
from workbench.particles.success import Success, success
from workbench.particles.swarm import Swarm
from workbench.result import clopper_pearson

__all__ = [
    "LANDSCAPES",
    "ChainRun",
    "Comparison",
    "ConsensusPoint",
    "ExactLaws",
    "IndexModel",
    "Landscape",
    "NetworkTraining",
    "Paths",
    "PhaseDiagram",
    "Planted",
    "Schedule",
    "StepComparison",
    "Success",
    "Swarm",
    "TensorModel",
    "ackley",
    "annealed_langevin",
    "ascend",
    "attacks",
    "averaging_time",
    "canyon",
    "clopper_pearson",
    "compare",
    "consensus",
    "consensus_point",
    "exact_laws",
    "gradient_descent",
    "himmelblau",
    "landscape",
    "langevin",
    "loss_slice_landscape",
    "minibatch_sgd",
    "minimising_movement",
    "network_objective",
    "normals",
    "online_sgd",
    "phase_diagram",
    "proximal_point",
    "rastrigin",
    "rosenbrock",
    "single_index",
    "smoothed_ascent",
    "sphere",
    "step_comparison",
    "success",
    "tensor_pca",
    "train_by_consensus",
    "train_by_sgd",
]
