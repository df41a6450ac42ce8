"""Whole steps of consensus-based optimisation on a built-in landscape, compiled.

Particles stand in blocks of 64. A step takes a block through its move, its energies and its share of the next
consensus while it is in the cache; the shares are added block after block, in float64. So the order of every
sum is that of the run itself: the same whatever the run is batched with and on however many threads.
"""

import math

import numpy as np

from workbench.particles.compiled.compilation import kernel
from workbench.particles.compiled.functions import exp
from workbench.particles.compiled.landscapes import GROUP, evaluate
from workbench.particles.compiled.noise import TILE, fill_normals, fill_words, threefry
from workbench.particles.noise import HALF_BLOCK

BLOCK = 2 * HALF_BLOCK
ANISOTROPIC, ISOTROPIC, HOPPING = range(3)


@kernel()
def advance(
    low: np.uint32,
    high: np.uint32,
    runs: np.ndarray,
    first: int,
    last: int,
    step: int,
    alphas: np.ndarray,
    sigmas: np.ndarray,
    drift: float,
    kind: int,
    landscape: tuple[int, float, float],
    x: np.ndarray,
    energy: np.ndarray,
    best: np.ndarray,
    best_energy: np.ndarray,
) -> None:
    """Take the runs from ``first`` to ``last`` through ``len(alphas)`` steps, numbered from ``step``.

    A run without a finite energy stays where it is.
    """
    dim = x.shape[2]
    blocks = _blocks(x)
    point, centre = np.empty(dim, x.dtype), np.empty(TILE + dim, x.dtype)
    shares, stats, weights = _share_arrays(x)
    move, rows = _move_arrays(x), _row_arrays(x)
    for r in range(first, last):
        flat, energies = x[r].reshape(-1), energy[r]
        for b in range(blocks):
            _share(flat, energies, dim, b, alphas[0], weights, shares, stats)
        for k in range(len(alphas)):
            if _combine(shares, stats, alphas[k], point) == 0:
                break
            _unroll(point, centre)
            k0, k1 = threefry(low, high, runs[r], np.uint32(step + k))
            following = alphas[min(k + 1, len(alphas) - 1)]
            for b in range(blocks):
                _move(k0, k1, flat, dim, b, centre, point, drift, sigmas[k], kind, move)
                _evaluate(landscape, flat, energies, dim, b, rows)
                _keep_best(flat, energies, dim, b, r, best, best_energy)
                _share(flat, energies, dim, b, following, weights, shares, stats)


@kernel()
def evaluate_runs(
    first: int, last: int, landscape: tuple[int, float, float], x: np.ndarray, energy: np.ndarray
) -> None:
    """Energies of all particles of the runs from ``first`` to ``last``."""
    rows = _row_arrays(x)
    for r in range(first, last):
        for b in range(_blocks(x)):
            _evaluate(landscape, x[r].reshape(-1), energy[r], x.shape[2], b, rows)


@kernel()
def consensus_runs(
    first: int, last: int, alpha: float, x: np.ndarray, energy: np.ndarray, point: np.ndarray, ess: np.ndarray
) -> None:
    """Consensus points and effective sample sizes of the runs from ``first`` to ``last``."""
    shares, stats, weights = _share_arrays(x)
    for r in range(first, last):
        for b in range(_blocks(x)):
            _share(x[r].reshape(-1), energy[r], x.shape[2], b, alpha, weights, shares, stats)
        ess[r] = _combine(shares, stats, alpha, point[r])


@kernel()
def _blocks(x: np.ndarray) -> int:
    return (x.shape[1] + BLOCK - 1) // BLOCK


@kernel()
def _share_arrays(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.empty((_blocks(x), x.shape[2]), x.dtype), np.empty((_blocks(x), 3)), np.empty(BLOCK, x.dtype)


@kernel()
def _move_arrays(x: np.ndarray) -> tuple[np.ndarray, ...]:
    words, normals = np.empty(2 * TILE, np.uint32), np.empty(TILE, np.float32)
    return words, normals, np.empty(TILE, x.dtype), np.empty(BLOCK, x.dtype)


@kernel()
def _row_arrays(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.empty(max(GROUP, x.shape[2]), x.dtype), np.empty(BLOCK, x.dtype)


@kernel()
def _unroll(point: np.ndarray, centre: np.ndarray) -> None:
    """Repeat a point over ``centre``, so that a flat stretch of particles finds its coordinates in a row."""
    dim = len(point)
    for start in range(0, len(centre), dim):
        stretch = centre[start : min(start + dim, len(centre))]
        for j in range(len(stretch)):
            stretch[j] = point[j]


@kernel()
def _move(
    k0: np.uint32,
    k1: np.uint32,
    flat: np.ndarray,
    dim: int,
    block: int,
    centre: np.ndarray,
    point: np.ndarray,
    drift: float,
    sigma: float,
    kind: int,
    arrays: tuple[np.ndarray, ...],
) -> None:
    """Move the particles of one block."""
    words, normals, scales, norms = arrays
    half, begin = HALF_BLOCK * dim, BLOCK * dim * block
    end = min(begin + 2 * half, len(flat))
    if kind == ISOTROPIC:
        for i in range((end - begin) // dim):
            norms[i] = _distance(flat[begin + i * dim : begin + (i + 1) * dim], point)
    for start in range(0, min(half, end - begin), TILE):
        count = min(TILE, half - start)
        fill_words(k0, k1, block * half + start, count, words)
        around = centre[start % dim : start % dim + count]
        for side in range(2):
            offset = side * half + start
            inside = min(count, end - begin - offset)
            if inside <= 0:
                break
            part = flat[begin + offset : begin + offset + inside]
            fill_normals(words[side * TILE : side * TILE + inside], normals)
            if kind == ANISOTROPIC:
                _move_anisotropic(part, around, normals, drift, sigma)
            elif kind == ISOTROPIC:
                _spread_norms(norms, offset, dim, scales[:inside])
                _move_isotropic(part, around, normals, scales, drift, sigma)
            else:
                _hop(part, around, normals, sigma)


@kernel()
def _move_anisotropic(
    part: np.ndarray, around: np.ndarray, normals: np.ndarray, drift: float, sigma: float
) -> None:
    drift, sigma = part.dtype.type(drift), part.dtype.type(sigma)
    for i in range(len(part)):
        way = part[i] - around[i]
        part[i] = part[i] - drift * way + sigma * abs(way) * normals[i]


@kernel()
def _move_isotropic(
    part: np.ndarray, around: np.ndarray, normals: np.ndarray, scales: np.ndarray, drift: float, sigma: float
) -> None:
    drift, sigma = part.dtype.type(drift), part.dtype.type(sigma)
    for i in range(len(part)):
        part[i] = part[i] - drift * (part[i] - around[i]) + sigma * scales[i] * normals[i]


@kernel()
def _hop(part: np.ndarray, around: np.ndarray, normals: np.ndarray, sigma: float) -> None:
    sigma = part.dtype.type(sigma)
    for i in range(len(part)):
        part[i] = around[i] + sigma * normals[i]


@kernel(sums=True)
def _distance(row: np.ndarray, point: np.ndarray) -> float:
    total = row.dtype.type(0)
    for j in range(len(row)):
        total += (row[j] - point[j]) * (row[j] - point[j])
    return np.sqrt(total)


@kernel()
def _spread_norms(norms: np.ndarray, offset: int, dim: int, scales: np.ndarray) -> None:
    """For every number of a stretch, ``offset`` numbers into the block, the norm of its particle."""
    row, place = offset // dim, 0
    stop = (row + 1) * dim - offset
    while place < len(scales):
        stretch = scales[place : min(stop, len(scales))]
        for i in range(len(stretch)):
            stretch[i] = norms[row]
        row, place, stop = row + 1, stop, stop + dim


@kernel()
def _evaluate(
    landscape: tuple[int, float, float],
    flat: np.ndarray,
    energies: np.ndarray,
    dim: int,
    block: int,
    arrays: tuple[np.ndarray, ...],
) -> None:
    cosines, sums = arrays
    inside = energies[block * BLOCK : min((block + 1) * BLOCK, len(energies))]
    begin = block * BLOCK * dim
    evaluate(landscape, flat[begin : begin + len(inside) * dim], dim, cosines, sums[: len(inside)], inside)


@kernel()
def _keep_best(
    flat: np.ndarray,
    energies: np.ndarray,
    dim: int,
    block: int,
    r: int,
    best: np.ndarray,
    best_energy: np.ndarray,
) -> None:
    for i in range(block * BLOCK, min((block + 1) * BLOCK, len(energies))):
        if energies[i] < best_energy[r]:
            best_energy[r] = energies[i]
            best[r] = flat[i * dim : (i + 1) * dim]


@kernel()
def _share(
    flat: np.ndarray,
    energies: np.ndarray,
    dim: int,
    block: int,
    alpha: float,
    weights: np.ndarray,
    shares: np.ndarray,
    stats: np.ndarray,
) -> None:
    """What a block adds to the consensus, its weights relative to its own least energy."""
    inside = energies[block * BLOCK : min((block + 1) * BLOCK, len(energies))]
    count = len(inside)
    lowest = inside.dtype.type(np.inf)
    for i in range(count):
        if inside[i] < lowest:
            lowest = inside[i]
    steepness = inside.dtype.type(alpha)
    for i in range(count):
        weights[i] = exp(steepness * (lowest - inside[i]))
    total, squares = 0.0, 0.0
    share = shares[block]
    share[:] = 0
    for i in range(count):
        weight = weights[i]
        if weight > 0 and abs(inside[i]) < np.inf:  # energies that are not finite have no weight
            total += weight
            squares += weight * weight
            row = flat[(block * BLOCK + i) * dim : (block * BLOCK + i + 1) * dim]
            for j in range(dim):
                share[j] += weight * row[j]
    stats[block, 0], stats[block, 1], stats[block, 2] = lowest, total, squares


@kernel()
def _combine(shares: np.ndarray, stats: np.ndarray, alpha: float, point: np.ndarray) -> float:
    """Put the consensus of all shares into ``point``; return the effective sample size, or 0."""
    lowest = np.inf
    for b in range(len(stats)):
        if stats[b, 1] > 0 and stats[b, 0] < lowest:
            lowest = stats[b, 0]
    total, squares = 0.0, 0.0
    sums = np.zeros(len(point))
    for b in range(len(stats)):
        factor = math.exp(alpha * (lowest - stats[b, 0])) if stats[b, 1] > 0 else 0.0
        if factor > 0:
            total += factor * stats[b, 1]
            squares += factor * factor * stats[b, 2]
            share = shares[b]
            for j in range(len(point)):
                sums[j] += factor * share[j]
    if total == 0:
        return 0.0
    for j in range(len(point)):
        point[j] = sums[j] / total
    return total * total / squares
