"""Experiments of the literature on stability, as functions that return results."""

from workbench.stability.experiments.batch_radius import BatchRadiusGap, batch_radius_gap
from workbench.stability.experiments.convergence import SeriesConvergence, series_convergence
from workbench.stability.experiments.diagonal_network import diagonal_network
from workbench.stability.experiments.edge_of_stability import EdgeOfStability, edge_of_stability
from workbench.stability.experiments.partial_sums import PartialSums, partial_sums
from workbench.stability.experiments.phase_transition import PhaseTransition, phase_transition
from workbench.stability.experiments.random_directions import RandomDirections, random_directions
from workbench.stability.experiments.rate_scales import RateScales, rate_scales
from workbench.stability.experiments.sparse_minima import RateSweep
from workbench.stability.experiments.spike_runs import SpikeRuns
from workbench.stability.experiments.spikes import learning_rate_spikes
from workbench.stability.experiments.temperature import TemperatureOnsets, temperature_onsets
from workbench.stability.experiments.trace_against_batch import TraceAgainstBatch, trace_against_batch
from workbench.stability.experiments.two_layer_relu import two_layer_relu
from workbench.stability.experiments.two_passes import ScheduleContest, compare_schedules

__all__ = [
    "BatchRadiusGap",
    "EdgeOfStability",
    "PartialSums",
    "PhaseTransition",
    "RandomDirections",
    "RateScales",
    "RateSweep",
    "ScheduleContest",
    "SeriesConvergence",
    "SpikeRuns",
    "TemperatureOnsets",
    "TraceAgainstBatch",
    "batch_radius_gap",
    "compare_schedules",
    "diagonal_network",
    "edge_of_stability",
    "learning_rate_spikes",
    "partial_sums",
    "phase_transition",
    "random_directions",
    "rate_scales",
    "series_convergence",
    "temperature_onsets",
    "trace_against_batch",
    "two_layer_relu",
]
