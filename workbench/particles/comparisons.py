r"""What consensus-based optimisation is held against: paths of single points that use gradients.

Costs are in evaluations of the objective. A value with its gradient by autograd counts as 3: the forward pass
and a backward pass of twice its work, as is usual for networks.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.colors import BLUE
from workbench.particles.landscapes import Landscape
from workbench.particles.noise import FIRST_STEP, normals
from workbench.particles.objectives import GRADIENT_COST, Objective, Read, gradients, read_objective
from workbench.particles.proximal import proximal_point
from workbench.particles.success import distance_to
from workbench.particles.swarm import Swarm
from workbench.progress import progress
from workbench.result import Result, clopper_pearson, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Step = Callable[[Tensor, int], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True, repr=False)
class Paths(Result):
    """Paths of a method from several starts.

    Attributes
    ----------
    method, objective : str
    points : Tensor (records, runs, dim)
        Along the paths.
    energy : Tensor (records, runs)
        There; not counted.
    evaluations : Tensor (records, runs)
        Spent so far; a gradient counts as 3.
    interrupted : bool
    """

    method: str
    objective: str
    points: Tensor
    energy: Tensor
    evaluations: Tensor
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per record and run."""
        records, runs = self.energy.shape
        return pd.DataFrame(
            {
                "method": self.method,
                "record": np.repeat(np.arange(records), runs),
                "run": np.tile(np.arange(runs), records),
                "evaluations": self.evaluations.flatten().numpy(),
                "energy": self.energy.flatten().numpy(),
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Median energy against evaluations, with the middle four fifths of the runs."""
        ax = new_axes(ax)
        low, middle, high = np.quantile(self.energy.numpy(), [0.1, 0.5, 0.9], axis=1)
        spent = self.evaluations.double().mean(1).numpy()
        ax.plot(spent, middle, color=BLUE, label=self.method)
        ax.fill_between(spent, low, high, color=BLUE, alpha=0.2, linewidth=0)
        ax.set_xlabel(f"evaluations of a run (a gradient counts as {GRADIENT_COST})")
        ax.set_ylabel(f"energy on {self.objective}")
        ax.set_title(self.summary(), fontsize="small")
        return ax

    def summary(self) -> str:
        """Energy at the end over the runs, and the cost."""
        low, middle, high = np.quantile(self.energy[-1].numpy(), [0.1, 0.5, 0.9])
        return (
            f"{self.method} on {self.objective}: energy {middle:.4g} ({low:.4g} to {high:.4g} in four "
            f"of five of {self.energy.shape[1]} runs), {int(self.evaluations[-1].max())} evaluations a run"
            + (", interrupted" if self.interrupted else "")
        )


def gradient_descent(
    objective: Objective,
    start: Tensor,
    *,
    rate: float = 1e-3,
    evaluations: int = 30_000,
    noise: float = 0.0,
    seed: int = 0,
    every: int | None = None,
) -> Paths:
    r"""Gradient descent from each start (runs, dim); with ``noise`` a model of stochastic gradients.

    :math:`x \leftarrow x - \eta (\nabla f(x) + \text{noise} \cdot z)` with standard normal z: the noise of a
    minibatch stands for itself only where the objective is a loss over data.

    Raises
    ------
    ValueError
        If a number is out of range or the objective has no gradient.
    """
    _check(rate=rate)
    check_number("noise", noise, low=0)
    read, x = _read(objective, start, evaluations)

    def step(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        slope = gradients(read.function, x)
        if noise:
            slope = slope + noise * _noise(seed, k, x)
        return x - rate * slope, _cost(x, GRADIENT_COST)

    name = f"gradient descent, rate {rate:g}" + (f", gradient noise {noise:g}" if noise else "")
    return _follow(name, read, x, step, evaluations, every)


def annealed_langevin(
    objective: Objective,
    start: Tensor,
    *,
    rate: float = 1e-3,
    sigma: float = 10.0,
    evaluations: int = 30_000,
    seed: int = 0,
    every: int | None = None,
) -> Paths:
    r"""Annealed Langevin dynamics from each start (runs, dim).

    :math:`x \leftarrow x - \eta \nabla f(x) + \sigma / \log(k + 1) \sqrt{\eta} z` at step
    k = 1, 2, …, with the defaults of the code of "Gradient is All You Need?".

    Raises
    ------
    ValueError
        If a number is out of range or the objective has no gradient.
    """
    _check(rate=rate, sigma=sigma)
    read, x = _read(objective, start, evaluations)

    def step(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        width = sigma / math.log(k + 2) * rate**0.5
        return x - rate * gradients(read.function, x) + width * _noise(seed, k, x), _cost(x, GRADIENT_COST)

    return _follow(f"annealed Langevin, rate {rate:g}, σ {sigma:g}", read, x, step, evaluations, every)


def minimising_movement(
    objective: Objective,
    start: Tensor,
    *,
    tau: float = 0.1,
    evaluations: int = 30_000,
    every: int | None = None,
) -> Paths:
    r"""The minimising movement from each start (runs, dim): proximal steps of size :math:`\tau`, each solved.

    Raises
    ------
    ValueError
        If a number is out of range or the objective has no gradient.
    """
    _check(tau=tau)
    read, x = _read(objective, start, evaluations)

    def step(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        found = proximal_point(read.function, x, tau, tolerance=1e-6)
        return found.point, GRADIENT_COST * found.gradients

    return _follow(f"minimising movement, τ {tau:g}", read, x, step, evaluations, every)


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Methods at the end of their runs, with what each spent: equal budgets are for the caller to give.

    Attributes
    ----------
    objective : str
    methods : tuple of str
    evaluations : ndarray (methods,)
        Of a run: the most that one spent; a gradient, of a drift, too, counts as 3.
    energies : tuple of ndarray (runs,)
        At the end of each run.
    hits, runs : ndarray (methods,) of int
        Runs within the radius of a minimiser, and of how many.
    radius : float
        Largest distance in a coordinate.
    """

    objective: str
    methods: tuple[str, ...]
    evaluations: np.ndarray
    energies: tuple[np.ndarray, ...]
    hits: np.ndarray
    runs: np.ndarray
    radius: float

    def frame(self) -> pd.DataFrame:
        """One row per method: evaluations, median energy, share of successes with its exact 95 % interval."""
        bounds = [clopper_pearson(hits, int(runs)) for hits, runs in zip(self.hits, self.runs, strict=True)]
        return pd.DataFrame(
            {
                "method": self.methods,
                "evaluations": self.evaluations,
                "median_energy": [float(np.median(energy)) for energy in self.energies],
                "success": self.hits / self.runs,
                "low": [float(low) for low, _ in bounds],
                "high": [float(high) for _, high in bounds],
                "runs": self.runs,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Share of successes of each method with its interval."""
        ax = new_axes(ax)
        table = self.frame()
        places = np.arange(len(table))
        sides = np.stack([table["success"] - table["low"], table["high"] - table["success"]])
        ax.errorbar(table["success"], places, xerr=sides, fmt="o", color=BLUE)
        ax.set_yticks(places, self.methods)
        ax.set_xlim(-0.03, 1.03)
        ax.set_xlabel(f"share of runs within {self.radius:g} of the minimiser (95 % interval)")
        ax.set_title(self.objective, fontsize="small")
        return ax

    def summary(self) -> str:
        """One line for each method."""
        return "\n".join(
            f"{row.method}: success {row.success:.2f} ({row.low:.2f} to {row.high:.2f}, {row.runs} runs), "
            f"median energy {row.median_energy:.4g}, {row.evaluations} evaluations"
            for row in self.frame().itertuples()
        )


def compare(landscape: Landscape, *found: Swarm | Paths, radius: float = 0.25) -> Comparison:
    """Put swarms and paths on one landscape into one table.

    Raises
    ------
    ValueError
        If no minimiser of the landscape is known, or nothing was given.
    """
    if not found:
        raise ValueError("there is nothing to compare: pass swarms and paths")
    names, spent, energies, hits = [], [], [], []
    for each in found:
        ends = each.consensus[-1] if isinstance(each, Swarm) else each.points[-1]
        cost = each.evaluations if isinstance(each, Swarm) else each.evaluations[-1]
        names.append(_swarm_name(each) if isinstance(each, Swarm) else each.method)
        spent.append(int(cost.max()))
        energies.append(each.energy[-1].double().numpy())
        hits.append(int((distance_to(landscape, ends) < radius).sum()))
    return Comparison(
        objective=landscape.name,
        methods=tuple(names),
        evaluations=np.array(spent),
        energies=tuple(energies),
        hits=np.array(hits),
        runs=np.array([len(energy) for energy in energies]),
        radius=radius,
    )


def _swarm_name(swarm: Swarm) -> str:
    kind = swarm.settings["kind"]
    law = "consensus hopping" if kind == "hopping" else f"consensus-based optimisation, {kind}"
    return f"{law}, {swarm.particles.shape[1]} particles"


def _check(**values: float) -> None:
    for name, value in values.items():
        check_number(name, value, above=0)


def _read(objective: Objective, start: Any, evaluations: int) -> tuple[Read, Tensor]:
    x = torch.as_tensor(start).detach()
    if x.ndim != 2 or not x.numel() or not x.is_floating_point():
        raise ValueError(f"start has shape {tuple(x.shape)} of {x.dtype}: it must be floating (runs, dim)")
    read = read_objective(objective, x, evaluations * len(x))
    if not read.differentiable:
        raise ValueError(f"{read.name} has no gradient by autograd")
    return read, x


def _noise(seed: int, step: int, x: Tensor) -> Tensor:
    """Standard normals like ``x``: each start is a run of one particle."""
    return normals(seed, range(len(x)), step + FIRST_STEP, 1, x.shape[1], x.dtype, x.device)[:, 0]


def _cost(x: Tensor, each: int) -> Tensor:
    return torch.full(x.shape[:1], each)


def _follow(name: str, read: Read, x: Tensor, step: Step, evaluations: int, every: int | None) -> Paths:
    """Step until no run can afford another that costs what the last one did."""
    check_count("evaluations", evaluations)
    every = max(1, evaluations // (GRADIENT_COST * 100)) if every is None else every
    check_count("every", every)
    spent = torch.zeros(len(x), dtype=torch.int64)
    points, costs = [x], [spent]
    interrupted = False
    k, last = 0, _cost(x, GRADIENT_COST)
    try:
        with progress(name, evaluations) as advance:
            while (affordable := spent + last <= evaluations).any():
                moved, last = step(x, k)
                paid = affordable & (spent + last <= evaluations)
                x = torch.where(paid[:, None], moved, x)
                advance(int(last[paid].max()) if paid.any() else 0)
                spent = torch.where(paid, spent + last, spent)
                last = torch.where(paid, last, evaluations + 1)  # a run that has to stop has stopped
                k += 1
                if k % every == 0:
                    points, costs = [*points, x], [*costs, spent]
    except KeyboardInterrupt:
        interrupted = True
    points, costs = [*points, x], [*costs, spent]
    path = torch.stack(points)
    with torch.no_grad():
        energy = read.function(path)
    return Paths(name, read.name, path, energy.detach(), torch.stack(costs), interrupted)
