r"""The laws of motion: consensus-based optimisation and consensus hopping.

One step of size dt moves particle i by

.. math:: -\lambda\,dt\,(x_i - x_\alpha) + \sigma\sqrt{dt}\, S_i z_i
          - \lambda_m\,dt\,(x_i - y_i) - \gamma\,dt\,\nabla f(x_i),

with :math:`S_i = |x_i - x_\alpha|` times the identity (isotropic) or the absolute coordinates on the diagonal
(anisotropic), the best position :math:`y_i` that the particle has seen, and standard normal :math:`z_i`. With
memory the consensus is that of the best positions. Consensus hopping draws all particles anew around the
consensus, :math:`x_i = x_\alpha + \sigma z_i`. The objective is evaluated once a step.

Sources: Riedl, Klock, Geldhauser and Fornasier, "Gradient is All You Need?", arXiv:2306.09778 (both laws);
Riedl, "Leveraging memory effects and gradient information in consensus-based optimisation",
arXiv:2211.12184 (memory and gradient drift; the noise that goes with each there is left out here).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from workbench.kernels.consensus_steps import consensus_mean, consensus_move
from workbench.kernels.dispatch import takes_triton
from workbench.particles.consensus_point import ConsensusPoint, consensus_point
from workbench.particles.noise import FIRST_STEP, normals
from workbench.particles.objectives import GRADIENT_COST, energies, gradients


@dataclass(frozen=True)
class Law:
    """A law of motion.

    Attributes
    ----------
    kind : str
        "anisotropic", "isotropic" or "hopping".
    lam, dt : float
        Pull to the consensus, and time of a step.
    memory : float, optional
        Pull to the best position that the particle has seen; None: no memory.
    gradient : float
        Rate of the gradient drift.
    """

    kind: str
    lam: float
    dt: float
    memory: float | None = None
    gradient: float = 0.0

    @property
    def step_cost(self) -> int:
        """Evaluations that a step takes of each particle, the gradient of a drift included."""
        return 1 + (GRADIENT_COST if self.gradient else 0)

    def noise_scale(self, sigma: float) -> float:
        """Factor of the noise in a step: the width itself for hopping."""
        return sigma if self.kind == "hopping" else sigma * self.dt**0.5

    def variance_factor(self, sigma: float, dim: int) -> float:
        """Growth of the mean square distance from a pinned consensus in a step; nan if no law is known."""
        if self.kind == "hopping" or self.memory is not None or self.gradient:
            return float("nan")
        spread = dim if self.kind == "isotropic" else 1
        return (1 - self.lam * self.dt) ** 2 + spread * sigma**2 * self.dt


@dataclass(frozen=True)
class State:
    """Particles of several runs, their energies, and what they have seen.

    Attributes
    ----------
    runs : tuple of int
        Numbers of the runs, which their noise depends on.
    step : int
        Steps done.
    positions : Tensor (runs, particles, dim)
    energy : Tensor (runs, particles)
    best_positions, best_energies : Tensor or None
        Of each particle, like the two above, with memory.
    best : Tensor (runs, dim)
        Best point of each run.
    best_energy : Tensor (runs,)
    """

    runs: tuple[int, ...]
    step: int
    positions: Tensor
    energy: Tensor
    best_positions: Tensor | None
    best_energies: Tensor | None
    best: Tensor
    best_energy: Tensor

    @classmethod
    def at(cls, positions: Tensor, runs: tuple[int, ...], memory: bool) -> Self:
        """The state at the start, before any energy is known."""
        unknown = positions.new_full(positions.shape[:2], torch.inf)
        return cls(
            runs=runs,
            step=0,
            positions=positions,
            energy=unknown,
            best_positions=positions if memory else None,
            best_energies=unknown if memory else None,
            best=positions[:, 0].clone(),
            best_energy=unknown[:, 0].clone(),
        )

    def see(self, energy: Tensor) -> Self:
        """The state with the energies of its positions, and the best that was seen brought up to date."""
        lowest, place = torch.where(energy.isnan(), torch.inf, energy).min(-1)
        found = self.positions[torch.arange(len(place), device=place.device), place]
        better = lowest < self.best_energy
        seen = replace(
            self,
            energy=energy,
            best=torch.where(better[:, None], found, self.best),
            best_energy=torch.where(better, lowest, self.best_energy),
        )
        if self.best_positions is None or self.best_energies is None:
            return seen
        nearer = energy < self.best_energies
        return replace(
            seen,
            best_positions=torch.where(nearer[..., None], self.positions, self.best_positions),
            best_energies=torch.where(nearer, energy, self.best_energies),
        )

    def take(self, live: Sequence[int]) -> Self:
        """Some of the runs, by place."""
        if len(live) == len(self.runs):
            return self
        chosen = list(live)
        parts: dict[str, Any] = {
            name: None if part is None else part[chosen] for name, part in self.tensors().items()
        }
        return replace(self, runs=tuple(self.runs[i] for i in chosen), **parts)

    def put(self, live: Sequence[int], moved: Self) -> Self:
        """The state with those of its runs as they have moved."""
        if len(live) == len(self.runs):
            return moved
        chosen = list(live)
        parts: dict[str, Any] = {}
        for name, part in self.tensors().items():
            if part is not None:
                part = part.clone()
                part[chosen] = getattr(moved, name)
            parts[name] = part
        return replace(self, step=moved.step, **parts)

    def tensors(self) -> dict[str, Tensor | None]:
        """Its tensors by name."""
        names = ("positions", "energy", "best_positions", "best_energies", "best", "best_energy")
        return {name: getattr(self, name) for name in names}


class Engine(Protocol):
    """What evaluates, averages and moves a state; PyTorch for any objective, compiled for landscapes."""

    def evaluate(self, points: Tensor) -> Tensor:
        """Energies (...) of points (..., dim)."""
        ...

    def consensus(self, state: State, alpha: float) -> ConsensusPoint:
        """Consensus of each run."""
        ...

    def advance(self, state: State, alphas: Sequence[float], sigmas: Sequence[float]) -> State:
        """The state after a step for each of the alphas; the old one stays as it is."""
        ...


@dataclass(frozen=True)
class TorchEngine:
    """Steps for any objective on any device: by kernels on a GPU, else by plain PyTorch.

    Attributes
    ----------
    function : callable
        Of points (..., dim); returns (...).
    law : Law
        How particles move.
    seed : int
        Of the noise.
    runs : tuple of int
        All runs, which given noise is for.
    noise : callable, optional
        ``noise(step)`` returns the normals of a step (runs, particles, dim) in place of the generator's.
    """

    function: Callable[[Tensor], Tensor]
    law: Law
    seed: int
    runs: tuple[int, ...] = ()
    noise: Callable[[int], Tensor] | None = None

    def evaluate(self, points: Tensor) -> Tensor:
        """Energies (...) of points (..., dim)."""
        return energies(self.function, points)

    def consensus(self, state: State, alpha: float) -> ConsensusPoint:
        """Consensus of the particles, or with memory of their best positions."""
        return consensus_point(*_judged(state), alpha)

    def advance(self, state: State, alphas: Sequence[float], sigmas: Sequence[float]) -> State:
        """The state after a step for each of the alphas."""
        for alpha, sigma in zip(alphas, sigmas, strict=True):
            # A run without a finite energy has no consensus: it stays where it is, and will be stopped.
            point, ess = consensus_mean(*_judged(state), alpha)
            positions = self._move(state, point, ess, self.law.noise_scale(sigma))
            state = replace(state, positions=positions, step=state.step + 1).see(self.evaluate(positions))
        return state

    def _move(self, state: State, point: Tensor, ess: Tensor, scale: float) -> Tensor:
        x, law = state.positions, self.law
        drawn_by_kernel = self.noise is None and takes_triton(x)
        moved = consensus_move(
            x, point, ess, state.runs, kind=law.kind, drift=law.lam * law.dt, scale=scale,
            seed=self.seed, step=state.step + FIRST_STEP,
            normals=None if drawn_by_kernel else self._normals(state),
        )  # fmt: skip
        if law.kind == "hopping":
            return moved
        if law.memory and state.best_positions is not None:
            moved -= law.memory * law.dt * (x - state.best_positions)
        if law.gradient:
            moved -= law.gradient * law.dt * gradients(self.function, x)
        return moved

    def _normals(self, state: State) -> Tensor:
        x = state.positions
        if self.noise is not None:
            rows = [self.runs.index(run) for run in state.runs]
            given, shape = torch.as_tensor(self.noise(state.step)).to(x), (len(self.runs), *x.shape[1:])
            if given.shape != shape:
                raise ValueError(
                    f"noise of step {state.step} has shape {tuple(given.shape)}: it must be {shape}"
                )
            return given[rows]
        particles, dim = x.shape[1:]
        dtype = torch.promote_types(x.dtype, torch.float32)  # what a move is computed in
        return normals(self.seed, state.runs, state.step + FIRST_STEP, particles, dim, dtype, x.device)


def _judged(state: State) -> tuple[Tensor, Tensor]:
    """What the consensus is of: the particles and their energies, or with memory the best of each."""
    if state.best_positions is None or state.best_energies is None:
        return state.positions, state.energy
    return state.best_positions, state.best_energies
