"""The built-in landscapes, compiled: energies of particles that lie one after another in memory."""

import math

import numpy as np

from workbench.particles.compiled.compilation import kernel
from workbench.particles.compiled.functions import cos_turns, exp

SPHERE, ACKLEY, RASTRIGIN, ROSENBROCK = range(4)
GROUP = 1024  # numbers whose cosines are taken at once, so that few dimensions fill vector registers, too


@kernel()
def evaluate(
    landscape: tuple[int, float, float],
    flat: np.ndarray,
    dim: int,
    cosines: np.ndarray,
    sums: np.ndarray,
    energy: np.ndarray,
) -> None:
    """Energies of the particles in ``flat`` on a landscape: its code, its coefficient, and a factor.

    ``cosines`` has room for GROUP numbers and for one particle, ``sums`` for one number a particle.
    """
    code = landscape[0]
    coefficient, scale = energy.dtype.type(landscape[1]), energy.dtype.type(landscape[2])
    if code == ROSENBROCK:
        for i in range(len(energy)):
            energy[i] = _rosenbrock(flat[i * dim : (i + 1) * dim])
    else:
        for i in range(len(energy)):
            energy[i] = _sum_squares(flat[i * dim : (i + 1) * dim])
    if code in (ACKLEY, RASTRIGIN):
        _sum_cosines(flat, dim, cosines, sums)
    # In the dtype of the energies throughout: with Python's numbers numba would go on in float64.
    one, dimensions = energy.dtype.type(1), energy.dtype.type(dim)
    fifth, euler = energy.dtype.type(0.2), energy.dtype.type(math.e)
    if code == RASTRIGIN:
        for i in range(len(energy)):
            energy[i] += coefficient * (dimensions - sums[i])
    if code == ACKLEY:
        for i in range(len(energy)):
            sums[i] = exp(sums[i] / dimensions)
            energy[i] = exp(-fifth * np.sqrt(energy[i] / dimensions))
        for i in range(len(energy)):
            energy[i] = coefficient * (one - energy[i]) + (euler - sums[i])
    for i in range(len(energy)):
        energy[i] *= scale


@kernel()
def _sum_cosines(flat: np.ndarray, dim: int, cosines: np.ndarray, sums: np.ndarray) -> None:
    rows = max(1, GROUP // dim)
    for first in range(0, len(sums), rows):
        part = flat[first * dim : min(first + rows, len(sums)) * dim]
        for i in range(len(part)):
            cosines[i] = cos_turns(part[i])
        for i in range(len(part) // dim):
            sums[first + i] = _sum(cosines[i * dim : (i + 1) * dim])


@kernel(sums=True)
def _sum(row: np.ndarray) -> float:
    total = row.dtype.type(0)
    for j in range(len(row)):
        total += row[j]
    return total


@kernel(sums=True)
def _sum_squares(row: np.ndarray) -> float:
    total = row.dtype.type(0)
    for j in range(len(row)):
        total += row[j] * row[j]
    return total


@kernel(sums=True)
def _rosenbrock(row: np.ndarray) -> float:
    total, one, hundred = row.dtype.type(0), row.dtype.type(1), row.dtype.type(100)
    for j in range(len(row) - 1):
        rise, rest = row[j + 1] - row[j] * row[j], one - row[j]
        total += hundred * rise * rise + rest * rest
    return total
