"""Whole steps of consensus-based optimisation on a built-in landscape, compiled.

Particles stand in blocks of 64. A step takes a block through its move, its energies and its share of the next
consensus while it is in the cache; the shares are added block after block, in float64. So the order of every
sum is that of the run itself: the same whatever the run is batched with and on however many threads.
"""

import math

import numpy as np

from workbench.kernels.counter_normals import HALF_BLOCK
from workbench.particles.compiled.compilation import kernel
from workbench.particles.compiled.functions import exp
from workbench.particles.compiled.landscapes import GROUP, evaluate
from workbench.particles.compiled.noise import TILE, fill_normals, fill_words, threefry

BLOCK = 2 * HALF_BLOCK
ANISOTROPIC, ISOTROPIC, HOPPING = range(3)


@kernel()
def advance_runs(
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
    blocks, point = count_blocks(x), np.empty(x.shape[2], x.dtype)
    shares, stats = share_arrays(x)
    scratch = _scratch(x)
    for r in range(first, last):
        _share_blocks(0, blocks, alphas[0], x[r], energy[r], scratch[4], shares, stats)
        for k in range(len(alphas)):
            if combine(shares, stats, alphas[k], point) == 0:
                break
            k0, k1 = threefry(low, high, runs[r], np.uint32(step + k))
            following = alphas[min(k + 1, len(alphas) - 1)]
            _advance_blocks(
                k0, k1, 0, blocks, following, sigmas[k], drift, kind, landscape, x[r], energy[r], point,
                scratch, shares, stats,
            )  # fmt: skip
            keep_best(r, x, energy, best, best_energy)


@kernel()
def advance_blocks(
    low: np.uint32,
    high: np.uint32,
    run: np.uint32,
    step: int,
    first: int,
    last: int,
    alpha: float,
    sigma: float,
    drift: float,
    kind: int,
    landscape: tuple[int, float, float],
    x: np.ndarray,
    energy: np.ndarray,
    point: np.ndarray,
    shares: np.ndarray,
    stats: np.ndarray,
) -> None:
    """Take the blocks from ``first`` to ``last`` of run ``x[0]`` through one step, around a consensus.

    Their shares of the next consensus are for ``alpha``.
    """
    k0, k1 = threefry(low, high, run, np.uint32(step))
    _advance_blocks(
        k0, k1, first, last, alpha, sigma, drift, kind, landscape, x[0], energy[0], point, _scratch(x),
        shares, stats,
    )  # fmt: skip


@kernel()
def move_runs(
    low: np.uint32,
    high: np.uint32,
    runs: np.ndarray,
    first: int,
    last: int,
    step: int,
    alpha: float,
    sigma: float,
    drift: float,
    kind: int,
    x: np.ndarray,
    energy: np.ndarray,
) -> None:
    """Move the particles of the runs from ``first`` to ``last`` one step, around the consensus of each."""
    blocks, point = count_blocks(x), np.empty(x.shape[2], x.dtype)
    shares, stats = share_arrays(x)
    words, normals, scales, norms, weights, _, _, centre = _scratch(x)
    for r in range(first, last):
        _share_blocks(0, blocks, alpha, x[r], energy[r], weights, shares, stats)
        if combine(shares, stats, alpha, point) == 0:
            continue
        _unroll(point, centre)
        k0, k1 = threefry(low, high, runs[r], np.uint32(step))
        flat = x[r].reshape(-1)
        for b in range(blocks):
            _move(
                k0, k1, flat, x.shape[2], b, centre, point, drift, sigma, kind, words, normals, scales, norms
            )  # fmt: skip


@kernel()
def share_blocks(
    first: int,
    last: int,
    alpha: float,
    x: np.ndarray,
    energy: np.ndarray,
    shares: np.ndarray,
    stats: np.ndarray,
) -> None:
    """The shares in the consensus of the blocks from ``first`` to ``last`` of run ``x[0]``."""
    _share_blocks(first, last, alpha, x[0], energy[0], np.empty(BLOCK, x.dtype), shares, stats)


@kernel()
def evaluate_runs(
    first: int, last: int, landscape: tuple[int, float, float], x: np.ndarray, energy: np.ndarray
) -> None:
    """Energies of all particles of the runs from ``first`` to ``last``."""
    scratch = _scratch(x)
    for r in range(first, last):
        for b in range(count_blocks(x)):
            _evaluate(landscape, x[r].reshape(-1), energy[r], x.shape[2], b, scratch[5], scratch[6])


@kernel()
def consensus_runs(
    first: int,
    last: int,
    alpha: float,
    x: np.ndarray,
    energy: np.ndarray,
    point: np.ndarray,
    ess: np.ndarray,
) -> None:
    """Consensus points and effective sample sizes of the runs from ``first`` to ``last``."""
    shares, stats = share_arrays(x)
    weights = np.empty(BLOCK, x.dtype)
    for r in range(first, last):
        _share_blocks(0, count_blocks(x), alpha, x[r], energy[r], weights, shares, stats)
        ess[r] = combine(shares, stats, alpha, point[r])


@kernel()
def keep_best(r: int, x: np.ndarray, energy: np.ndarray, best: np.ndarray, best_energy: np.ndarray) -> None:
    """Bring the best that was seen of a run up to date."""
    lowest = -1
    for i in range(x.shape[1]):
        if energy[r, i] < best_energy[r]:
            lowest, best_energy[r] = i, energy[r, i]
    if lowest >= 0:
        best[r] = x[r, lowest]


@kernel()
def count_blocks(x: np.ndarray) -> int:
    """Blocks of a run."""
    return (x.shape[1] + BLOCK - 1) // BLOCK


@kernel()
def share_arrays(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Room for the blocks' shares: weighted sums; least energy, sum of weights, and of their squares."""
    return np.empty((count_blocks(x), x.shape[2]), x.dtype), np.empty((count_blocks(x), 3))


@kernel()
def _scratch(x: np.ndarray) -> tuple[np.ndarray, ...]:
    dtype, dim = x.dtype, x.shape[2]
    words, normals, scales = np.empty(2 * TILE, np.uint32), np.empty(TILE, np.float32), np.empty(TILE, dtype)
    per_row, weights, sums = np.empty(BLOCK, dtype), np.empty(BLOCK, dtype), np.empty(BLOCK, dtype)
    cosines, centre = np.empty(max(GROUP, dim), dtype), np.empty(TILE + dim, dtype)
    return words, normals, scales, per_row, weights, cosines, sums, centre


@kernel()
def _share_blocks(
    first: int,
    last: int,
    alpha: float,
    x: np.ndarray,
    energy: np.ndarray,
    weights: np.ndarray,
    shares: np.ndarray,
    stats: np.ndarray,
) -> None:
    for b in range(first, last):
        _share(x.reshape(-1), energy, x.shape[1], b, alpha, weights, shares, stats)


@kernel()
def _advance_blocks(
    k0: np.uint32,
    k1: np.uint32,
    first: int,
    last: int,
    alpha: float,
    sigma: float,
    drift: float,
    kind: int,
    landscape: tuple[int, float, float],
    x: np.ndarray,
    energy: np.ndarray,
    point: np.ndarray,
    scratch: tuple[np.ndarray, ...],
    shares: np.ndarray,
    stats: np.ndarray,
) -> None:
    words, normals, scales, norms, weights, cosines, sums, centre = scratch
    flat, dim = x.reshape(-1), x.shape[1]
    _unroll(point, centre)
    for b in range(first, last):
        _move(k0, k1, flat, dim, b, centre, point, drift, sigma, kind, words, normals, scales, norms)
        _evaluate(landscape, flat, energy, dim, b, cosines, sums)
        _share(flat, energy, dim, b, alpha, weights, shares, stats)


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
    words: np.ndarray,
    normals: np.ndarray,
    scales: np.ndarray,
    norms: np.ndarray,
) -> None:
    """Move the particles of one block."""
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
    cosines: np.ndarray,
    sums: np.ndarray,
) -> None:
    inside = energies[block * BLOCK : min((block + 1) * BLOCK, len(energies))]
    begin = block * BLOCK * dim
    evaluate(landscape, flat[begin : begin + len(inside) * dim], dim, cosines, sums[: len(inside)], inside)


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
        if abs(inside[i]) < np.inf and inside[i] < lowest:
            lowest = inside[i]
    steepness = inside.dtype.type(alpha)
    for i in range(count):
        weights[i] = exp(steepness * (lowest - inside[i]))
    total, squares, heavy, rows = 0.0, 0.0, 0, np.empty(count, np.int64)
    for i in range(count):
        weight = weights[i]
        if weight > 0 and abs(inside[i]) < np.inf:  # energies that are not finite have no weight
            total += weight
            squares += weight * weight
            weights[heavy], rows[heavy] = weight, (block * BLOCK + i) * dim
            heavy += 1
    _add_rows(flat, dim, weights[:heavy], rows, shares[block])
    stats[block, 0], stats[block, 1], stats[block, 2] = lowest, total, squares


@kernel()
def _add_rows(flat: np.ndarray, dim: int, weights: np.ndarray, rows: np.ndarray, share: np.ndarray) -> None:
    """Add up weighted rows that begin at these places: four at once, which keeps short ones quick."""
    share[:] = 0
    fours = len(weights) - len(weights) % 4
    for i in range(0, fours, 4):
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        x0, x1 = flat[rows[i] : rows[i] + dim], flat[rows[i + 1] : rows[i + 1] + dim]
        x2, x3 = flat[rows[i + 2] : rows[i + 2] + dim], flat[rows[i + 3] : rows[i + 3] + dim]
        for j in range(dim):
            share[j] += (w0 * x0[j] + w1 * x1[j]) + (w2 * x2[j] + w3 * x3[j])
    for i in range(fours, len(weights)):
        row = flat[rows[i] : rows[i] + dim]
        for j in range(dim):
            share[j] += weights[i] * row[j]


@kernel()
def combine(shares: np.ndarray, stats: np.ndarray, alpha: float, point: np.ndarray) -> float:
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
