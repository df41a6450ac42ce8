"""Chains followed step by step, with sums over their iterates and records on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.particles.noise import normals
from workbench.particles.planted.chain_run import ChainRun
from workbench.particles.planted.model import Planted, averaging_time, first_direction
from workbench.particles.planted.sphere import FIRST_STEP, uniform_points
from workbench.progress import progress

BLOCK = 64  # steps between two sums
_RECORDS = 40
Move = Callable[[Tensor, int], Tensor]


def chain_noise(model: Planted, seed: int, step: int) -> Tensor:
    """Standard normals (runs, sizes, dim) of one step."""
    shape = len(model.sizes), model.dim
    return normals(seed, model.runs, FIRST_STEP + step, *shape, model.direction.dtype)


def follow(
    model: Planted,
    move: Move,
    *,
    method: str,
    steps: int,
    burn_in: int,
    pace: Tensor,
    gradients: Tensor,
    settings: dict[str, Any],
) -> ChainRun:
    """Follow chains for ``steps``, a multiple of 64, from uniform starts.

    Parameters
    ----------
    model : Planted
    move : callable
        ``move(points, k)`` is the step k of all chains.
    method : str
    steps : int
    burn_in : int
        Steps that the averages leave out.
    pace : Tensor (sizes,)
        Time that passes in a step.
    gradients : Tensor (sizes,)
        Of samples, in a step.
    settings : dict
        With ``beta`` and ``seed``.
    """
    runs, sizes, dim = len(model.runs), len(model.sizes), model.dim
    theta = uniform_points(settings["seed"], model.runs, sizes, dim, model.direction.dtype)
    blocks, skipped = steps // BLOCK, burn_in // BLOCK
    records = set(np.unique(np.geomspace(1, blocks - skipped, _RECORDS).astype(int)))
    trace = model.partial_trace()
    mean = torch.zeros(runs, sizes, dim, dtype=torch.float64)
    moment = torch.zeros(runs, sizes, dim, dim, dtype=torch.float64) if model.even else mean
    rows: list[tuple[int, Tensor, Tensor, Tensor]] = []
    interrupted, done = False, 0
    try:
        with progress(f"{method}, {model.name} in {dim} dimensions", steps) as advance:
            for block in range(1, blocks + 1):
                path = torch.empty(runs, sizes, BLOCK, dim, dtype=theta.dtype)
                for k in range(BLOCK):
                    theta = path[:, :, k] = move(theta, done + k)
                done = block * BLOCK
                if block > skipped:
                    mean += path.sum(2)
                    if model.even:
                        moment += path.transpose(2, 3) @ path
                if block - skipped in records:
                    estimate = first_direction(moment if model.even else mean).to(theta.dtype)
                    mean_length = mean.norm(dim=-1) / (done - skipped * BLOCK)
                    like = (estimate * trace).sum(-1)
                    like = like.abs() if model.even else like
                    end = theta, estimate, mean_length  # of the last record, should no other come
                    rows.append((done, model.overlap(theta), model.overlap(estimate), like))
                advance(BLOCK)
    except KeyboardInterrupt:
        if not rows:
            raise
        interrupted = True
    reached, last, average, likeness = zip(*rows, strict=True)
    points, estimates, mean_length = end
    return ChainRun(
        method=method,
        model=model.name,
        order=model.order,
        dim=dim,
        sizes=model.sizes,
        times=torch.tensor(reached, dtype=torch.float64)[:, None] * pace.double(),
        last=torch.stack(last),
        average=torch.stack(average),
        likeness=torch.stack(likeness),
        partial_trace=model.overlap(trace),
        points=points,
        estimates=estimates,
        mean_length=mean_length,
        averaging_time=averaging_time(model.order, dim, settings["beta"]),
        burn_in=skipped * BLOCK,
        steps=reached[-1],
        gradients=gradients * reached[-1],
        settings=settings,
        interrupted=interrupted,
    )
