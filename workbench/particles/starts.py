"""Where particles start."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.particles.noise import START, START_UNIFORM, check_size, normals, uniforms

Start = float | Sequence[float] | Tensor | None


def read_runs(runs: Any) -> tuple[int, ...]:
    """The numbers of the runs: those below a count, or as given.

    Raises
    ------
    TypeError
        If it is neither a whole number nor a sequence of them.
    ValueError
        If there is none, a number repeats, or it is not from 0 to 2^32 - 1.
    """
    if not isinstance(runs, Sequence | range):
        check_count("runs", runs)
        return tuple(range(runs))
    for run in runs:
        check_count("runs", run, 0, 2**32 - 1)
    if not runs or len(set(runs)) < len(runs):
        raise ValueError(f"runs={list(runs)!r}: give at least one number, and each of them once")
    return tuple(int(run) for run in runs)


def begin(
    runs: tuple[int, ...],
    particles: int,
    dim: int,
    start: Start,
    spread: float,
    box: tuple[float, float] | None,
    seed: int,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Tensor:
    """Positions (runs, particles, dim): as given, normal about a point, or uniform in a box.

    Raises
    ------
    ValueError
        If a start and a box are given, the box is empty, the start has another shape or is not finite, or the
        spread is negative.
    TypeError
        If the dtype is not floating.
    """
    check_size(particles, dim)
    if not dtype.is_floating_point:
        raise TypeError(f"dtype={dtype} is not floating: positions are real numbers")
    shape = (len(runs), particles, dim)
    if box is not None:
        if start is not None:
            raise ValueError("start and box were both given: particles start about a point or in a box")
        low, high = box
        if not -math.inf < low < high < math.inf:
            raise ValueError(
                f"box=({low}, {high}) is empty or endless: the first number must be below the second"
            )
        draws = uniforms(seed, runs, START_UNIFORM, particles, dim)
        return (low + (high - low) * draws).to(dtype=dtype, device=device)
    centre = torch.as_tensor(0.0 if start is None else start).detach().to(dtype=dtype, device=device)
    if not centre.isfinite().all():
        raise ValueError("start has numbers that are not finite")
    if tuple(centre.shape) in (shape, shape[1:]):
        return centre.expand(shape).clone(memory_format=torch.contiguous_format)
    if tuple(centre.shape) not in ((), (dim,)):
        raise ValueError(
            f"start has shape {tuple(centre.shape)}: it must be a number, ({dim},), {shape[1:]} or {shape}"
        )
    check_number("spread", spread, low=0, below=math.inf)
    return centre + spread * normals(seed, runs, START, particles, dim, dtype, device)
