"""Experiments of the literature on stability, as functions that return results."""

from workbench.stability.experiments.diagonal_network import diagonal_network
from workbench.stability.experiments.edge_of_stability import EdgeOfStability, edge_of_stability
from workbench.stability.experiments.sparse_minima import RateSweep
from workbench.stability.experiments.trace_against_batch import TraceAgainstBatch, trace_against_batch
from workbench.stability.experiments.two_layer_relu import two_layer_relu

__all__ = [
    "EdgeOfStability",
    "RateSweep",
    "TraceAgainstBatch",
    "diagonal_network",
    "edge_of_stability",
    "trace_against_batch",
    "two_layer_relu",
]
