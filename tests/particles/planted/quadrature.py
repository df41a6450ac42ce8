"""Means over the sphere in three dimensions, exact for polynomials."""

import numpy as np
import torch


def sphere_rule(nodes=24):
    """Points (q, 3) and weights (q,) that integrate polynomials of degree below 2 * nodes exactly."""
    z, weights = np.polynomial.legendre.leggauss(nodes)
    angles = np.pi * np.arange(2 * nodes) / nodes
    radius = np.sqrt(1 - z**2)[:, None]
    points = np.stack(
        [radius * np.cos(angles), radius * np.sin(angles), np.repeat(z[:, None], len(angles), 1)], -1
    )
    return torch.tensor(points.reshape(-1, 3)), torch.tensor(np.repeat(weights / (4 * nodes), len(angles)))


def energies(model, points):
    """The energy (q, runs, sizes) at points (q, 3)."""
    runs, sizes = len(model.runs), len(model.sizes)
    return torch.stack([model.energy(point.expand(runs, sizes, 3)) for point in points])
