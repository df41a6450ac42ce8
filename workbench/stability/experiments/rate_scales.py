"""``rate_scales``: learning rates of gradient descent that a range test, curvature and radii suggest."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import nn
from torch.optim import SGD

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.curvature import eigenpairs, hessian
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.baselines import find_rate
from workbench.stability.experiments.digits_training import problem_of
from workbench.stability.experiments.log_means import Mean, log_mean
from workbench.stability.experiments.networks import NETWORKS, build_network, digits
from workbench.stability.scales import radii_along
from workbench.training import Minibatches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = {  # in the order of the rows: what it is called, and its colour
    "suggested": ("range test, steepest", VERMILION),
    "ended": ("range test, diverged", VERMILION),
    "polyak": ("Polyak, L/‖g‖²", ORANGE),
    "sharpness": ("2/λ", GREEN),
    "curvature": ("2/(vᵀHv), v along g", GREEN),
    "spread": ("step of ρₐ, ρₐ/‖g‖", SKY),
    "majority": ("step of the majority bound", BLUE),
    "exact": ("step of ρ*, ρ*/‖g‖", "black"),
}
_RANGE, _STEPS, _BATCH = (1e-3, 1e3), 120, 64  # of the range test
_TOLERANCE = 1e-3  # relative residual of the sharpness


@dataclasses.dataclass(frozen=True, repr=False)
class RateScales(Result):
    """Learning rates of gradient descent for a network at its start, by several rules.

    Attributes
    ----------
    network : str
        Which.
    seed : ndarray (seeds,) of int
        Of the split, the weights and the batches of the test.
    rules : tuple of str (rules,)
        ``"suggested"`` and ``"ended"`` by :func:`find_rate`, where the loss falls most steeply and where the
        test broke off; ``"polyak"``, ``"sharpness"`` and ``"curvature"``; and the rates whose step is as long
        as a radius, by its kind.
    rate : ndarray (seeds, rules)
        nan where a rule gives none.
    interrupted : bool
        Whether seeds are missing.
    """

    network: str
    seed: np.ndarray
    rules: tuple[str, ...]
    rate: np.ndarray
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per seed and rule."""
        seeds, rules = self.rate.shape
        return pd.DataFrame(
            {
                "seed": np.repeat(self.seed, rules),
                "rule": np.tile(self.rules, seeds),
                "rate": self.rate.ravel(),
            }
        )

    def by_rule(self) -> pd.DataFrame:
        """One row per rule: geometric mean over the seeds, its 95% interval (Student's t), and the seeds."""
        return pd.DataFrame(
            [
                {"rule": rule, "rate": mean.mean, "low": mean.low, "high": mean.high, "seeds": mean.used}
                for rule, mean in self._means().items()
            ]
        )

    def _means(self) -> dict[str, Mean]:
        return {rule: log_mean(self.rate[:, place]) for place, rule in enumerate(self.rules)}

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """All rates on one logarithmic axis: seeds as dots, means with their intervals."""
        ax = new_axes(ax)
        for row, (rule, mean) in enumerate(self._means().items()):
            _, color = _SHOWN[rule]
            ax.axhline(row, color="0.9", zorder=0)
            ax.plot(self.rate[:, row], np.full(len(self.seed), row), ".", color=color, alpha=0.5)
            ax.errorbar(mean.mean, row, xerr=[[mean.mean - mean.low], [mean.high - mean.mean]], color=color,
                        marker="D", capsize=3)  # fmt: skip
            ax.annotate(f"{mean.mean:.2g}", (mean.mean, row), (0, 8), textcoords="offset points",
                        fontsize="small", ha="center")  # fmt: skip
        ax.set_yticks(range(len(self.rules)), [_SHOWN[rule][0] for rule in self.rules])
        ax.set_xscale("log")
        ax.margins(y=0.1)
        ax.invert_yaxis()
        ax.set_xlabel("learning rate of gradient descent (95% interval)")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """The mean of each rule with its interval."""
        note = ", INTERRUPTED" if self.interrupted else ""
        lines = [f"learning rates at the start of {self.network}, {len(self.seed)} seeds{note}"]
        for rule, mean in self._means().items():
            span = f" [{mean.low:.3g}, {mean.high:.3g}]" if mean.used > 1 else ""
            lines.append(f"{_SHOWN[rule][0]}: {mean.mean:.3g}{span} ({mean.used} seeds)")
        lines.append("[] are 95% intervals of the geometric mean over seeds (Student's t)")
        return "\n".join(lines)


def rate_scales(network: str = "mlp", *, seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> RateScales:
    r"""Compare what a learning-rate range test suggests with curvature and Taylor radii, as learning rates.

    All are for plain gradient descent on digits from the initial weights, where a rate is chosen. A step with
    rate :math:`\eta` is :math:`\eta \|g\|` long, so a radius :math:`\rho` is the rate :math:`\rho / \|g\|`.

    Parameters
    ----------
    network : str
        One of ``NETWORKS``.
    seeds : sequence of int
        One start each.

    Returns
    -------
    RateScales
        An interrupt (Ctrl-C) returns the seeds that were done.

    Raises
    ------
    ValueError
        If a name is unknown or there is no seed.

    Notes
    -----
    Cost for each seed: up to 120 gradients of minibatches of 64 for the test, which runs in train mode over
    rates from 0.001 to 1000; a gradient over all training examples, about 20 Hessian products and a
    forward-mode pass, in eval mode.
    """
    check_choice("network", network, list(NETWORKS))
    check_count("number of seeds", len(seeds))
    found: list[dict[str, float]] = []
    interrupted = False
    try:
        with progress("learning rates", len(seeds)) as advance:
            for seed in seeds:
                found.append(_rates(network, seed))
                advance(1, f"seed {seed}")
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return RateScales(
        network=network,
        seed=np.array(seeds[: len(found)]),
        rules=tuple(_SHOWN),
        rate=np.array([[rates[rule] for rule in _SHOWN] for rates in found]),
        interrupted=interrupted,
    )


def _rates(network: str, seed: int) -> dict[str, float]:
    """Rate of each rule, for one start."""
    data, model = digits(seed), build_network(network, seed)
    low, high = _RANGE
    batches = Minibatches(*data.train, _BATCH, seed=seed)
    optimizer = SGD(model.parameters(), lr=low)
    test = find_rate(model, nn.CrossEntropyLoss(), batches, optimizer, low=low, high=high, steps=_STEPS)
    if test.interrupted:
        raise KeyboardInterrupt
    problem = problem_of(model, data, len(data.train[0]))
    gradient = problem.gradient()
    norm = float(gradient.norm())
    matrix, unit = hessian(problem), gradient / norm
    pairs = eigenpairs(matrix, 1, tol=_TOLERANCE, seed=seed)
    if pairs.interrupted:
        raise KeyboardInterrupt
    curvature = float(unit.double() @ (matrix @ unit).double())
    radii = radii_along(problem, unit)
    return {
        "suggested": test.suggested,
        "ended": float(test.rate[-1]) if test.diverged else np.nan,
        "polyak": problem.loss_at() / norm**2,
        "sharpness": 2 / pairs.values[0].item(),
        "curvature": 2 / curvature if curvature > 0 else np.nan,
        "spread": radii.spread / norm,
        "majority": radii.majority / norm,
        "exact": radii.exact / norm,
    }
