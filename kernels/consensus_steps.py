r"""A step of consensus-based optimisation: the consensus of each run's particles, and the noisy move to it.

With the least finite energy :math:`f_0` of a run, particle i has the weight
:math:`w_i = e^{-\alpha (f_i - f_0)}`, 0 where its energy is not finite. The consensus point and the effective
sample size are

.. math:: x_\alpha = \frac{\sum_i w_i x_i}{\sum_i w_i}, \qquad \frac{(\sum_i w_i)^2}{\sum_i w_i^2},

and with :math:`d_i = x_i - x_\alpha` and normal :math:`z_i` the move is

.. math:: x_i - a d_i + b\,|d_i| \circ z_i, \quad x_i - a d_i + b\,\|d_i\|\,z_i, \quad x_\alpha + b z_i

for the kinds "anisotropic", "isotropic" and "hopping". The normals come from a counter: see
:mod:`workbench.kernels.counter_normals`.

A run has the same bits whatever it is batched with and whatever blocks a program holds: slices of 64
particles are summed one particle after another, compensated, and so are the slices; no sum over particles or
dimensions is left to a reduction, whose order would be that of a tile's layout. Products are not fused with
sums, so the normals have the bits of those on the CPU.

Source: Riedl, Klock, Geldhauser and Fornasier, "Gradient is All You Need?", arXiv:2306.09778 (the law).
Slices relative to their own least energy: derived here.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from workbench.choices import check_choice
from workbench.kernels.counter_normals import (
    HALF_BLOCK,
    counter_normals,
    normals_of,
    signed,
    signed_words,
    threefry_of,
)
from workbench.kernels.dispatch import computing, takes_triton
from workbench.kernels.jit import blocks, kernel, tl

KINDS = ("anisotropic", "isotropic", "hopping")
SLICE = 64  # particles that are summed before anything is written
LANES = 64  # sums that the norm of a particle is made of
_HALVINGS = LANES.bit_length() - 1  # until one of them is left
_COLUMNS = 1024  # dimensions that a program holds at a time
_TILE = 1024  # counters, two particles' dimensions each, of a program that moves


def consensus_mean(positions: Tensor, energy: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return consensus points (..., dim) and effective sample sizes (...).

    Parameters
    ----------
    positions : Tensor (..., particles, dim)
    energy : Tensor (..., particles)
        What is not finite has no weight.
    alpha : float
        Steepness: 0 takes the mean, inf the best particle, or the mean of those that are equally good.

    Returns
    -------
    tuple of Tensor
        Both in float32 at least. Where no energy is finite the point is nan and the size 0. Gradients are
        recorded by PyTorch's path, which tensors that need one take.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    if positions.shape[:-1] != energy.shape or energy.dim() < 1 or not energy.shape[-1]:
        raise ValueError(
            f"positions have shape {tuple(positions.shape)} and energy {tuple(energy.shape)}: they must be "
            "(..., particles, dim) and (..., particles), with a particle"
        )
    if not positions.numel() or not _takes_kernels(positions, energy):
        return mean_by_pytorch(positions, energy, alpha)
    leading, shape = energy.shape[:-1], positions.shape[-2:]
    point, ess = _launch_mean(positions.reshape(-1, *shape), energy.reshape(-1, shape[0]), alpha)
    return point.view(*leading, shape[1]), ess.view(leading)


def consensus_move(
    positions: Tensor,
    point: Tensor,
    ess: Tensor,
    runs: Sequence[int],
    *,
    kind: str,
    drift: float,
    scale: float,
    seed: int,
    step: int,
    normals: Tensor | None = None,
) -> Tensor:
    """Return the positions (runs, particles, dim) after a move around their consensus; they stay as they are.

    Parameters
    ----------
    positions : Tensor (runs, particles, dim)
    point, ess : Tensor (runs, dim), (runs,)
        Of :func:`consensus_mean`. A run whose sample size is 0 does not move.
    runs : sequence of int
        Numbers of the runs, from 0 to 2^32 - 1, which their noise depends on.
    kind : str
        "anisotropic", "isotropic" or "hopping".
    drift, scale : float
        a and b of the module; hopping has no drift.
    seed, step : int
        Of the noise: 64 bits, and 32.
    normals : Tensor (runs, particles, dim), optional
        In place of the counter's; PyTorch's operations then take them.

    Returns
    -------
    Tensor (runs, particles, dim)
        In the dtype of the positions, computed in float32 at least and rounded once. No gradient of a kernel
        is recorded.

    Raises
    ------
    ValueError
        If the kind is unknown or shapes do not fit.
    """
    check_choice("kind", kind, KINDS)
    count, particles, dim = positions.shape
    if point.shape != (count, dim) or ess.shape != (count,) or len(runs) != count:
        raise ValueError(
            f"positions have shape {tuple(positions.shape)}, point {tuple(point.shape)}, ess "
            f"{tuple(ess.shape)}, and there are {len(runs)} runs: they must be (runs, particles, dim), "
            "(runs, dim), (runs,) and as many"
        )
    if normals is None and positions.numel() and _takes_kernels(positions, point, ess):
        return _launch_move(positions, point, ess, tuple(runs), kind, drift, scale, seed, step)
    if normals is None:
        normals = counter_normals(seed, runs, step, particles, dim, positions.device)
    return move_by_pytorch(positions, point, ess, normals, kind, drift, scale)


def mean_by_pytorch(positions: Tensor, energy: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return points and sizes by PyTorch's operations, sums pairwise in an order of the particles alone."""
    exact = computing(positions, energy)
    weights = consensus_weights(energy.to(exact), alpha)[..., None]
    total = ordered_sum(weights)
    point = ordered_sum(weights * torch.where(weights > 0, positions.to(exact), 0)) / total
    squares = ordered_sum(weights.square())
    return point, (total.square() / squares)[..., 0].nan_to_num(0.0)


def move_by_pytorch(
    positions: Tensor, point: Tensor, ess: Tensor, normals: Tensor, kind: str, drift: float, scale: float
) -> Tensor:
    """Return the moved positions by PyTorch's operations, in the order of the kernel's."""
    exact = computing(positions)
    x, z, known = positions.to(exact), normals.to(exact), (ess > 0)[:, None, None]
    centre = torch.where(known, point.to(exact)[:, None], x)
    strength = known.to(exact) * scale
    if kind == "hopping":
        return (centre + strength * z).to(positions.dtype)
    way = x - centre
    spread = way.abs() if kind == "anisotropic" else way.norm(dim=-1, keepdim=True)
    return (x - drift * way + strength * spread * z).to(positions.dtype)


def consensus_weights(energy: Tensor, alpha: float) -> Tensor:
    """Weights (..., particles) of energies: 1 for the least of each run, 0 for what is not finite."""
    finite = energy.isfinite()
    lowest = torch.where(finite, energy, torch.inf).amin(-1, keepdim=True)
    rise = torch.where(finite, energy - lowest, torch.inf)
    return torch.where(finite, torch.exp(-_finite(alpha, energy.dtype) * rise), 0)


def ordered_sum(values: Tensor) -> Tensor:
    """Sum over the particles, the last axis but one: halves are added until one row is left.

    Libraries choose the order of a sum by the shape of the whole batch; here it is that of one run.
    """
    while (count := values.shape[-2]) > 1:
        half = count // 2
        sums = values[..., :half, :] + values[..., half : 2 * half, :]
        if count % 2:
            sums[..., 0, :] += values[..., -1, :]
        values = sums
    return values[..., 0, :]


# ---- the kernels --------------------------------------------------------------------------------------


# Compensated sums are written out: Triton's interpreter takes a millisecond for a call.


@kernel
def share_kernel(  # type: ignore[no-untyped-def]
    positions_ptr, energy_ptr, shares_ptr, stats_ptr, particles, dim, slices, strips, alpha,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sum a slice of a run, some dimensions of it, with weights relative to the least energy of the slice."""
    program = tl.program_id(0).to(tl.int64)
    column = program % strips * COLUMNS + tl.arange(0, COLUMNS)
    within = column < dim
    share = program // strips  # counted over all runs
    run, first = share // slices, share % slices * SLICE
    place = first + tl.arange(0, SLICE)
    from_row = energy_ptr + run * particles
    energies = tl.load(from_row + place, mask=place < particles, other=float("inf")).to(tl.float32)
    lowest = tl.min(tl.where(tl.abs(energies) < float("inf"), energies, float("inf")), axis=0)
    sums, sums_lost = tl.zeros([COLUMNS], tl.float32), tl.zeros([COLUMNS], tl.float32)
    total, total_lost = 0.0, 0.0
    squares, squares_lost = 0.0, 0.0
    nothing = tl.zeros([COLUMNS], tl.float32)
    for row in range(run * particles + first, run * particles + tl.minimum(first + SLICE, particles)):
        energy = tl.load(energy_ptr + row).to(tl.float32)
        weight = tl.where(tl.abs(energy) < float("inf"), tl.exp(alpha * (lowest - energy)), 0.0)
        mask = within & (nothing + weight > 0)  # what has none is not read
        x = tl.load(positions_ptr + row * dim + column, mask=mask, other=0.0).to(tl.float32)
        term = weight * x - sums_lost
        raised = sums + term
        sums, sums_lost = raised, (raised - sums) - term
        term = weight - total_lost
        raised = total + term
        total, total_lost = raised, (raised - total) - term
        term = weight * weight - squares_lost
        raised = squares + term
        squares, squares_lost = raised, (raised - squares) - term
    tl.store(shares_ptr + share * dim + column, sums, mask=within)
    if program % strips == 0:
        tl.store(stats_ptr + share * 3, lowest)
        tl.store(stats_ptr + share * 3 + 1, total)
        tl.store(stats_ptr + share * 3 + 2, squares)


@kernel
def combine_kernel(  # type: ignore[no-untyped-def]
    shares_ptr, stats_ptr, point_ptr, ess_ptr, dim, slices, strips, alpha, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Put the slices of a run together, some dimensions of them: its consensus and sample size."""
    program = tl.program_id(0).to(tl.int64)
    column = program % strips * COLUMNS + tl.arange(0, COLUMNS)
    within = column < dim
    run = program // strips
    lowest = float("inf")
    for share in range(run * slices, (run + 1) * slices):
        lowest = tl.minimum(lowest, tl.load(stats_ptr + share * 3).to(tl.float32))
    sums, sums_lost = tl.zeros([COLUMNS], tl.float32), tl.zeros([COLUMNS], tl.float32)
    total, total_lost = 0.0, 0.0
    squares, squares_lost = 0.0, 0.0
    nothing = tl.zeros([COLUMNS], tl.float32)
    for share in range(run * slices, (run + 1) * slices):
        least = tl.load(stats_ptr + share * 3).to(tl.float32)
        factor = tl.where(least < float("inf"), tl.exp(alpha * (lowest - least)), 0.0)
        mask = within & (nothing + factor > 0)
        part = tl.load(shares_ptr + share * dim + column, mask=mask, other=0.0).to(tl.float32)
        term = factor * part - sums_lost
        raised = sums + term
        sums, sums_lost = raised, (raised - sums) - term
        term = factor * tl.load(stats_ptr + share * 3 + 1).to(tl.float32) - total_lost
        raised = total + term
        total, total_lost = raised, (raised - total) - term
        term = factor * factor * tl.load(stats_ptr + share * 3 + 2).to(tl.float32) - squares_lost
        raised = squares + term
        squares, squares_lost = raised, (raised - squares) - term
    tl.store(point_ptr + run * dim + column, tl.div_rn(sums, total), mask=within)
    if program % strips == 0:
        tl.store(ess_ptr + run, tl.where(total > 0, tl.div_rn(total * total, squares), 0.0))


@kernel
def norm_kernel(  # type: ignore[no-untyped-def]
    positions_ptr, point_ptr, norms_ptr, particles, dim, rows, ROWS: tl.constexpr,
):  # fmt: skip
    """Write the distances of some particles, of any run, from their consensus."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    run = row // particles
    sums, lost = tl.zeros([ROWS, LANES], tl.float32), tl.zeros([ROWS, LANES], tl.float32)
    for start in range(0, dim, LANES):
        column = start + tl.arange(0, LANES)
        mask = (row < rows)[:, None] & (column < dim)[None, :]
        place, of_run = row[:, None] * dim + column[None, :], run[:, None] * dim + column[None, :]
        x = tl.load(positions_ptr + place, mask=mask, other=0.0).to(tl.float32)
        way = x - tl.load(point_ptr + of_run, mask=mask, other=0.0).to(tl.float32)
        term = way * way - lost
        raised = sums + term
        sums, lost = raised, (raised - sums) - term
    for halving in tl.static_range(_HALVINGS):  # neighbours are added
        even, odd = tl.split(tl.reshape(sums, [ROWS, LANES >> (halving + 1), 2]))
        sums = even + odd
    tl.store(norms_ptr + row, tl.sqrt_rn(tl.reshape(sums, [ROWS])), mask=row < rows)


@kernel
def move_half(  # type: ignore[no-untyped-def]
    positions_ptr, norms_ptr, moved_ptr, words, run, particle, column, particles, dim, centre, known, drift,
    scale, KIND: tl.constexpr,
):  # fmt: skip
    """Move the particles of one half of their blocks, which one of the two words of the counters is for."""
    row = run * particles + particle
    mask = (particle < particles)[:, None] & (column < dim)[None, :]
    place = row[:, None] * dim + column[None, :]
    x = tl.load(positions_ptr + place, mask=mask, other=0.0).to(tl.float32)
    z = normals_of(words)
    way = x - centre[None, :]
    if KIND == "anisotropic":
        moved = x - drift * way + scale * tl.abs(way) * z
    elif KIND == "isotropic":
        norm = tl.load(norms_ptr + row, mask=particle < particles, other=0.0).to(tl.float32)
        moved = x - drift * way + scale * norm[:, None] * z
    else:
        moved = centre[None, :] + scale * z
    tl.store(moved_ptr + place, tl.where(known, moved, x).to(moved_ptr.dtype.element_ty), mask=mask)


@kernel
def move_kernel(  # type: ignore[no-untyped-def]
    positions_ptr, point_ptr, ess_ptr, norms_ptr, runs_ptr, moved_ptr, particles, dim, tiles, strips,
    low, high, step, drift, scale,
    KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Move those particles of one run that a tile of counters has the noise for."""
    program = tl.program_id(0).to(tl.int64)
    column = program % strips * COLUMNS + tl.arange(0, COLUMNS)
    row = program // strips % tiles * ROWS + tl.arange(0, ROWS)  # of counters
    run = program // strips // tiles
    number = tl.load(runs_ptr + run).to(tl.uint32)
    k0, k1 = threefry_of(tl.cast(low, tl.uint32), tl.cast(high, tl.uint32), number, tl.cast(step, tl.uint32))
    counter = (row[:, None] * dim + column[None, :]).to(tl.uint32)
    first, second = threefry_of(k0, k1, counter, tl.zeros_like(counter))
    known = tl.load(ess_ptr + run).to(tl.float32) > 0
    centre = tl.load(point_ptr + run * dim + column, mask=column < dim, other=0.0).to(tl.float32)
    particle = row // HALF_BLOCK * (2 * HALF_BLOCK) + row % HALF_BLOCK
    move_half(
        positions_ptr, norms_ptr, moved_ptr, first, run, particle, column, particles, dim, centre, known,
        drift, scale, KIND,
    )  # fmt: skip
    move_half(
        positions_ptr, norms_ptr, moved_ptr, second, run, particle + HALF_BLOCK, column, particles, dim,
        centre, known, drift, scale, KIND,
    )  # fmt: skip


# ---- their launchers ----------------------------------------------------------------------------------


def _launch_mean(positions: Tensor, energy: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    runs, particles, dim = positions.shape
    columns = _columns(dim)
    slices, strips = blocks(particles, SLICE), blocks(dim, columns)
    shares = positions.new_empty(runs, slices, dim, dtype=torch.float32)
    stats = positions.new_empty(runs, slices, 3, dtype=torch.float32)
    point = positions.new_empty(runs, dim, dtype=torch.float32)
    ess = positions.new_empty(runs, dtype=torch.float32)
    options = {"COLUMNS": columns, "num_warps": _warps(columns), "enable_fp_fusion": False}
    steepness = _finite(alpha, torch.float32)
    share_kernel[(runs * slices * strips,)](
        positions.contiguous(), energy.contiguous(), shares, stats, particles, dim, slices, strips, steepness,
        **options,
    )  # fmt: skip
    combine_kernel[(runs * strips,)](shares, stats, point, ess, dim, slices, strips, steepness, **options)
    return point, ess


def _launch_move(
    positions: Tensor,
    point: Tensor,
    ess: Tensor,
    runs: tuple[int, ...],
    kind: str,
    drift: float,
    scale: float,
    seed: int,
    step: int,
) -> Tensor:
    count, particles, dim = positions.shape
    x, centre = positions.contiguous(), point.contiguous()
    norms = _launch_norms(x, centre) if kind == "isotropic" else centre  # which no other kind reads
    moved = torch.empty_like(x)
    columns = _columns(dim)
    rows = max(1, _TILE // columns)
    whole, rest = divmod(particles, 2 * HALF_BLOCK)
    strips, tiles = blocks(dim, columns), blocks(whole * HALF_BLOCK + min(rest, HALF_BLOCK), rows)
    move_kernel[(count * tiles * strips,)](
        x, centre, ess.contiguous(), norms, _numbers(runs, str(x.device)), moved, particles, dim, tiles,
        strips, *signed_words(seed), signed(step), drift, scale,
        KIND=kind, ROWS=rows, COLUMNS=columns, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
    return moved


def _launch_norms(positions: Tensor, point: Tensor) -> Tensor:
    runs, particles, dim = positions.shape
    norms = positions.new_empty(runs, particles, dtype=torch.float32)
    rows = max(1, _TILE // LANES)
    norm_kernel[(blocks(runs * particles, rows),)](
        positions, point, norms, particles, dim, runs * particles,
        ROWS=rows, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
    return norms


@lru_cache(maxsize=8)
def _numbers(runs: tuple[int, ...], device: str) -> Tensor:
    """The numbers of the runs where they are needed, once for all steps."""
    return torch.tensor([signed(run) for run in runs], dtype=torch.int32, device=device)


def _columns(dim: int) -> int:
    return min(_COLUMNS, 1 << max(0, dim - 1).bit_length())


def _warps(columns: int) -> int:
    return max(1, min(4, columns // 128))


def _finite(alpha: float, dtype: torch.dtype) -> float:
    return min(float(alpha), torch.finfo(dtype).max)  # inf times a rise of 0 would be nan


def _takes_kernels(*tensors: Tensor) -> bool:
    """Whether kernels take these: PyTorch's operations record gradients and can be mapped."""
    recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return not recorded and not torch._C._are_functorch_transforms_active() and takes_triton(*tensors)
