"""Engines whose steps are compiled: moves around any objective, whole steps on the built-in landscapes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.kernels.consensus_steps import KINDS
from workbench.particles.compiled import step as kernels
from workbench.particles.compiled.threads import share_out
from workbench.particles.consensus_point import ConsensusPoint
from workbench.particles.dynamics import Law, State
from workbench.particles.landscapes import Landscape
from workbench.particles.noise import FIRST_STEP, split_seed
from workbench.particles.objectives import energies

_LARGE = 50_000  # numbers in a run that are worth handing out to threads at every step


@dataclass(frozen=True)
class MovingEngine:
    """Compiled moves and consensus around any objective, on the CPU, without memory or gradient drift.

    Attributes
    ----------
    function : callable
        Of points (..., dim); returns (...).
    law : Law
        Without memory and gradient drift.
    seed : int
        Of the noise.
    """

    function: Callable[[Tensor], Tensor]
    law: Law
    seed: int

    def evaluate(self, points: Tensor) -> Tensor:
        """Energies (...) of points (..., dim)."""
        return energies(self.function, points).contiguous()

    def consensus(self, state: State, alpha: float) -> ConsensusPoint:
        """Consensus of each run."""
        x = state.positions
        point, ess = torch.full_like(x[:, 0], torch.nan), x.new_empty(len(x))
        share_out(
            len(x),
            lambda first, last: kernels.consensus_runs(
                first, last, _finite(alpha, x), x.numpy(), state.energy.numpy(), point.numpy(), ess.numpy()
            ),
        )
        return ConsensusPoint(point, ess)

    def advance(self, state: State, alphas: Sequence[float], sigmas: Sequence[float]) -> State:
        """The state after a step for each of the alphas; the old one stays as it is."""
        runs = np.asarray(state.runs, np.uint32)
        low, high = split_seed(self.seed)
        drift, kind = self.law.lam * self.law.dt, KINDS.index(self.law.kind)
        for alpha, sigma in zip(alphas, sigmas, strict=True):
            x = state.positions.clone()
            move = partial(
                _move, (low, high, runs), (state.step + FIRST_STEP, _finite(alpha, x)),
                (self.law.noise_scale(sigma), drift, kind, x.numpy(), state.energy.numpy()),
            )  # fmt: skip
            share_out(len(runs), move)
            state = replace(state, positions=x, step=state.step + 1).see(self.evaluate(x))
        return state


@dataclass(frozen=True)
class CompiledEngine(MovingEngine):
    """Whole steps by the kernels, on a built-in landscape: ``function`` is one that has a ``code``."""

    function: Landscape

    def evaluate(self, points: Tensor) -> Tensor:
        """Energies (...) of points (..., dim)."""
        x = points.detach().reshape(1, -1, points.shape[-1]).contiguous() if points.ndim < 3 else points
        energy = x.new_empty(x.shape[:2])
        share_out(
            len(x),
            lambda first, last: kernels.evaluate_runs(
                first, last, self._code(x), x.contiguous().numpy(), energy.numpy()
            ),
        )
        return energy.reshape(points.shape[:-1])

    def advance(self, state: State, alphas: Sequence[float], sigmas: Sequence[float]) -> State:
        """The state after a step for each of the alphas; the old one stays as it is, whatever interrupts."""
        parts = {
            name: getattr(state, name).clone() for name in ("positions", "energy", "best", "best_energy")
        }
        x = state.positions
        steepness = np.array([_finite(alpha, x) for alpha in alphas])
        scales = np.array([self.law.noise_scale(sigma) for sigma in sigmas])
        arrays = [part.numpy() for part in parts.values()]
        if len(x) < torch.get_num_threads() and x[0].numel() >= _LARGE:
            self._advance_by_blocks(state, steepness, scales, *arrays)
        else:
            self._advance_by_runs(state, steepness, scales, *arrays)
        return replace(state, step=state.step + len(alphas), **parts)

    def _advance_by_runs(
        self, state: State, alphas: np.ndarray, sigmas: np.ndarray, *arrays: np.ndarray
    ) -> None:
        """Each thread takes its runs through all steps."""
        runs = np.asarray(state.runs, np.uint32)
        low, high = split_seed(self.seed)
        law = (self.law.lam * self.law.dt, KINDS.index(self.law.kind), self._code(state.positions))
        step = state.step + FIRST_STEP
        share_out(
            len(runs),
            lambda first, last: kernels.advance_runs(
                low, high, runs, first, last, step, alphas, sigmas, *law, *arrays
            ),
        )

    def _advance_by_blocks(
        self, state: State, alphas: np.ndarray, sigmas: np.ndarray, *arrays: np.ndarray
    ) -> None:
        """Run by run; at each step, each thread takes its blocks. The same sums in the same order."""
        positions, energies, best, best_energy = arrays
        low, high = split_seed(self.seed)
        law = (self.law.lam * self.law.dt, KINDS.index(self.law.kind), self._code(state.positions))
        for r, run in enumerate(state.runs):
            x, energy = positions[r : r + 1], energies[r : r + 1]
            blocks, point = kernels.count_blocks(x), np.empty(x.shape[2], x.dtype)
            shares, stats = kernels.share_arrays(x)
            kernels.share_blocks(0, blocks, alphas[0], x, energy, shares, stats)
            for k, following in enumerate([*alphas[1:], alphas[-1]]):
                if kernels.combine(shares, stats, alphas[k], point) == 0:
                    break
                step = state.step + FIRST_STEP + k
                share_out(
                    blocks,
                    partial(
                        _blocks, (low, high, np.uint32(run), step), (following, sigmas[k], *law),
                        (x, energy, point, shares, stats),
                    ),
                )  # fmt: skip
                kernels.keep_best(r, positions, energies, best, best_energy)

    def _code(self, x: Tensor) -> tuple[int, float, float]:
        assert self.function.code is not None
        scale = 1 / x.shape[-1] if self.function.per_dimension else 1.0
        return self.function.code, float(self.function.coefficient), scale


def _move(key: tuple[Any, ...], step: tuple[Any, ...], law: tuple[Any, ...], first: int, last: int) -> None:
    kernels.move_runs(*key, first, last, *step, *law)


def _blocks(
    key: tuple[Any, ...], law: tuple[Any, ...], arrays: tuple[Any, ...], first: int, last: int
) -> None:
    kernels.advance_blocks(*key, first, last, *law, *arrays)


def _finite(alpha: float, x: Tensor) -> float:
    return min(float(alpha), torch.finfo(x.dtype).max)  # inf times a rise of 0 would be nan
