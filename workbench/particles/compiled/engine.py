"""``CompiledEngine``: steps on a built-in landscape on the CPU, without memory or gradient drift."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from workbench.particles.compiled import step as kernels
from workbench.particles.compiled.threads import over_runs
from workbench.particles.consensus_point import ConsensusPoint
from workbench.particles.dynamics import KINDS, Law, State
from workbench.particles.landscapes import Landscape
from workbench.particles.noise import FIRST_STEP, split_seed


@dataclass(frozen=True)
class CompiledEngine:
    """Steps by the kernels.

    Attributes
    ----------
    landscape : Landscape
        One that has a ``code``.
    law : Law
        Without memory and gradient drift.
    seed : int
        Of the noise.
    """

    landscape: Landscape
    law: Law
    seed: int

    def evaluate(self, points: Tensor) -> Tensor:
        """Energies (...) of points (..., dim)."""
        x = points.detach().reshape(1, -1, points.shape[-1]).contiguous() if points.ndim < 3 else points
        energy = x.new_empty(x.shape[:2])
        over_runs(
            len(x),
            lambda first, last: kernels.evaluate_runs(
                first, last, self._code(x), x.contiguous().numpy(), energy.numpy()
            ),
        )
        return energy.reshape(points.shape[:-1])

    def consensus(self, state: State, alpha: float) -> ConsensusPoint:
        """Consensus of each run."""
        x = state.positions
        point, ess = torch.full_like(x[:, 0], torch.nan), x.new_empty(len(x))
        over_runs(
            len(x),
            lambda first, last: kernels.consensus_runs(
                first, last, _finite(alpha, x), x.numpy(), state.energy.numpy(), point.numpy(), ess.numpy()
            ),
        )
        return ConsensusPoint(point, ess)

    def advance(self, state: State, alphas: Sequence[float], sigmas: Sequence[float]) -> State:
        """The state after a step for each of the alphas; the old one stays as it is, whatever interrupts."""
        parts = {
            name: getattr(state, name).clone() for name in ("positions", "energy", "best", "best_energy")
        }
        x = state.positions
        steepness = np.array([_finite(alpha, x) for alpha in alphas])
        scales = np.array([self.law.noise_scale(sigma) for sigma in sigmas])
        runs = np.asarray(state.runs, np.uint32)
        arrays = [part.numpy() for part in parts.values()]
        over_runs(
            len(x),
            lambda first, last: kernels.advance(
                *split_seed(self.seed), runs, first, last, state.step + FIRST_STEP, steepness, scales,
                self.law.lam * self.law.dt, KINDS.index(self.law.kind), self._code(x), *arrays,
            ),
        )  # fmt: skip
        return replace(state, step=state.step + len(alphas), **parts)

    def _code(self, x: Tensor) -> tuple[int, float, float]:
        assert self.landscape.code is not None
        scale = 1 / x.shape[-1] if self.landscape.per_dimension else 1.0
        return self.landscape.code, self.landscape.coefficient, scale


def _finite(alpha: float, x: Tensor) -> float:
    return min(float(alpha), torch.finfo(x.dtype).max)  # inf times a rise of 0 would be nan
