"""Experiments of the literature on stability, as functions that return results."""

from workbench.stability.experiments.edge_of_stability import EdgeOfStability, edge_of_stability

__all__ = ["EdgeOfStability", "edge_of_stability"]
