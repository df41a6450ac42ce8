"""What is written down of a swarm at some of its steps, and whether a run ends there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from workbench.kernels.consensus_steps import ordered_sum
from workbench.particles.dynamics import Engine, Law, State
from workbench.particles.objectives import Read, gradients
from workbench.particles.proximal import proximal_point
from workbench.particles.schedules import Values, value_at
from workbench.particles.swarm import Swarm

_COLUMNS = ("consensus", "mean", "energy", "best_energy", "ess", "variance", "cosine", "cosine_proximal")


@dataclass(frozen=True)
class Record:
    """One record of all runs; the fields are rows of those of :class:`Swarm`."""

    step: int
    consensus: Tensor
    mean: Tensor
    energy: Tensor
    best_energy: Tensor
    ess: Tensor
    variance: Tensor
    cosine: Tensor
    cosine_proximal: Tensor
    gradients: int
    growth: float
    trajectory: Tensor | None


@dataclass(frozen=True)
class StopRules:
    """When a run ends before its last step."""

    spread_below: float
    energy_below: float | None

    def reasons(self, record: Record) -> list[str]:
        """Why each run ends at a record; empty if it does not."""
        rules = {"no finite energy": record.ess == 0, "spread": record.variance.sqrt() < self.spread_below}
        if self.energy_below is not None:
            rules["energy"] = record.best_energy <= self.energy_below
        met = {name: ends.tolist() for name, ends in rules.items()}
        return [next((name for name in met if met[name][run]), "") for run in range(len(record.ess))]


@dataclass(frozen=True)
class Recorder:
    """Makes records of states."""

    engine: Engine
    read: Read
    law: Law
    alphas: Values
    keep_particles: bool
    cosine: bool
    proximal: bool

    def record(self, state: State, sigmas: Sequence[float] = ()) -> Record:
        """The record of a state that was reached with these sigmas since the last one."""
        x = state.positions
        point, ess = self.engine.consensus(state, value_at("alpha", self.alphas, state.step))
        mean = ordered_sum(x) / x.shape[1]
        squares = (x - point[:, None]).square().sum(-1, keepdim=True)
        growth = 1.0
        for sigma in sigmas:
            growth *= self.law.variance_factor(sigma, x.shape[2])
        parts = {
            "consensus": point,
            "mean": mean,
            "energy": self.engine.evaluate(point[:, None])[:, 0],
            "best_energy": state.best_energy,
            "ess": ess,
            "variance": ordered_sum(squares)[:, 0] / x.shape[1],
            "cosine": self._cosine(point, mean),
        }
        parts["cosine_proximal"], searched = self._cosine_proximal(state, point, mean)
        trajectory = x.detach().clone().cpu() if self.keep_particles else None
        copies = {name: part.detach().clone().cpu() for name, part in parts.items()}
        count = int(self.cosine and self.read.differentiable) + searched
        return Record(step=state.step, gradients=count, growth=growth, trajectory=trajectory, **copies)

    def _cosine(self, point: Tensor, mean: Tensor) -> Tensor:
        if not (self.cosine and self.read.differentiable):
            return torch.full_like(point[:, 0], torch.nan)
        return cosine_similarity(mean - point, gradients(self.read.function, mean), dim=-1)

    def _cosine_proximal(self, state: State, point: Tensor, mean: Tensor) -> tuple[Tensor, int]:
        """The cosine of each run, and the most gradients that one took."""
        if not (self.proximal and self.read.differentiable):
            return torch.full_like(point[:, 0], torch.nan), 0
        x = state.positions
        width = ordered_sum((x - mean[:, None]).square()).mean(-1) / x.shape[1]
        found = proximal_point(self.read.function, mean, value_at("alpha", self.alphas, state.step) * width)
        return cosine_similarity(point - mean, found.point - mean, dim=-1), int(found.gradients.max())


@dataclass(frozen=True)
class Records:
    """The records so far, and which runs have ended, where and why."""

    entries: tuple[Record, ...] = ()
    reasons: tuple[str, ...] = ()
    stopped: tuple[int, ...] = ()

    @property
    def live(self) -> list[int]:
        """Places of the runs that go on."""
        return [i for i, reason in enumerate(self.reasons) if not reason]

    def add(self, record: Record, rules: StopRules) -> Self:
        """The records with one more; runs that had ended keep their last one."""
        runs = len(record.ess)
        reasons, stopped = list(self.reasons or [""] * runs), list(self.stopped or [0] * runs)
        ended = torch.tensor([bool(reason) for reason in reasons])
        if ended.any():
            record = _with_ended(record, self.entries[-1], ended)
        for run, reason in enumerate(rules.reasons(record)):
            if not reasons[run]:
                reasons[run], stopped[run] = reason, record.step
        return replace(self, entries=(*self.entries, record), reasons=tuple(reasons), stopped=tuple(stopped))

    def swarm(self, state: State, *, name: str, settings: dict[str, Any], ending: str, law: Law) -> Swarm:
        """The result; runs that have not ended otherwise ended for ``ending``."""
        columns = {part: torch.stack([getattr(entry, part) for entry in self.entries]) for part in _COLUMNS}
        growth = torch.tensor([entry.growth for entry in self.entries], dtype=torch.float64).cumprod(0)
        kept = [entry.trajectory for entry in self.entries if entry.trajectory is not None]
        stopped = torch.tensor(self.stopped)
        counts = [entry.gradients for entry in self.entries]
        drift_gradients = state.positions.shape[1] * int(stopped.max()) if law.gradient else 0
        return Swarm(
            objective=name,
            runs=state.runs,
            steps=torch.tensor([entry.step for entry in self.entries]),
            **columns,
            variance_theory=columns["variance"][0].double().mean() * growth,
            trajectory=torch.stack(kept) if kept else None,
            best=state.best.cpu(),
            reasons=tuple(reason or ending for reason in self.reasons),
            stopped=stopped,
            evaluations=(1 + law.step_cost * stopped) * state.positions.shape[1],
            checks=len(self.entries),
            gradients=sum(counts) + drift_gradients,
            state={
                "step": state.step,
                "growth": [entry.growth for entry in self.entries],
                "gradients": counts,
                **{part: None if each is None else each.cpu() for part, each in state.tensors().items()},
            },
            settings=settings,
            interrupted=ending == "interrupted",
        )  # fmt: skip


_LASTING = ("no finite energy", "spread", "energy")


def records_of(swarm: Swarm, device: torch.device | str) -> tuple[Records, State]:
    """The records and the state that a swarm was made from; runs that a rule has ended stay ended."""
    kept = swarm.trajectory
    entries = tuple(
        Record(
            step=int(swarm.steps[i]),
            growth=swarm.state["growth"][i],
            gradients=swarm.state["gradients"][i],
            trajectory=None if kept is None else kept[i],
            **{part: getattr(swarm, part)[i] for part in _COLUMNS},
        )
        for i in range(len(swarm.steps))
    )
    reasons = tuple(reason if reason in _LASTING else "" for reason in swarm.reasons)
    parts: dict[str, Any] = {
        name: part.to(device) if isinstance(part, Tensor) else part
        for name, part in swarm.state.items()
        if name not in ("growth", "gradients")
    }
    state = State(runs=swarm.runs, **parts)
    return Records(entries, reasons, tuple(swarm.stopped.tolist())), state


def _with_ended(record: Record, before: Record, ended: Tensor) -> Record:
    """The record with those of the one before for runs that have ended."""
    parts = {}
    for name, part in vars(record).items():
        if isinstance(part, Tensor):
            mask = ended.reshape(-1, *[1] * (part.ndim - 1))
            part = torch.where(mask, getattr(before, name), part)
        parts[name] = part
    return Record(**parts)
