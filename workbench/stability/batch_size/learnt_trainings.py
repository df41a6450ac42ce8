"""``train_by_lanczos``: trainings whose rate and momentum are set by the ends of the Hessian's spectrum."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.colors import BLUE, VERMILION
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes, standard_error
from workbench.stability.batch_size.batch_edges import BatchEdges, batch_edges
from workbench.stability.batch_size.rate_laws import HeavyBall
from workbench.stability.batch_size.stacked_runs import StackedRuns, batch_orders, stacked_starts

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_LOST = 1e3  # times the loss at the start
_HUGE = 1e6  # of a weight


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class LearntTrainings(Result):
    """Trainings by heavy ball for k seeds, whose rate and momentum were learnt before each of e epochs.

    Attributes
    ----------
    loss : ndarray (e + 1, k)
        Over all the data, before the first epoch and after each.
    passes : ndarray (e + 1, k)
        Gradients over all the data spent until then, two for each product with the Hessian.
    rates, momenta : ndarray (e, k)
        Of each epoch; nan where a training was lost before.
    edges, edges_stderr : ndarray (e, k, 2)
        Largest and smallest curvature that they were set by; nan in the first epoch.
    lost : ndarray (k,) of bool
        Whether the loss had exploded to 1000 times that at the start, a weight was beyond a million, or no
        curvature was left: such a training stops there.
    batch_size, examples : int
        B, and how many examples the curvature was measured on.
    corrected : bool
        Whether curvatures were corrected for the noise of batches.
    share : float
        Of the learnt rate that was used.
    interrupted : bool
        Whether there are fewer epochs than were asked for.
    """

    loss: np.ndarray
    passes: np.ndarray
    rates: np.ndarray
    momenta: np.ndarray
    edges: np.ndarray
    edges_stderr: np.ndarray
    lost: np.ndarray
    batch_size: int
    examples: int
    corrected: bool
    share: float
    interrupted: bool = False

    @property
    def name(self) -> str:
        """What tells it from others."""
        kind = "corrected" if self.corrected else "uncorrected"
        return kind if self.share == 1 else f"{kind}, {self.share:g} of the rate"

    def frame(self) -> pd.DataFrame:
        """One row per epoch and seed."""
        epochs, seeds = self.rates.shape
        epoch, run = (index.ravel() for index in np.indices((epochs, seeds)))
        return pd.DataFrame(
            {
                "epoch": epoch + 1,
                "seed": run,
                "rate": self.rates.ravel(),
                "momentum": self.momenta.ravel(),
                "largest": self.edges[..., 0].ravel(),
                "largest_stderr": self.edges_stderr[..., 0].ravel(),
                "smallest": self.edges[..., 1].ravel(),
                "smallest_stderr": self.edges_stderr[..., 1].ravel(),
                "loss": self.loss[1:].ravel(),
                "passes": self.passes[1:].ravel(),
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw learnt rates and momenta over the epochs, every seed."""
        ax = new_axes(ax)
        epochs = np.arange(1, len(self.rates) + 1)
        for values, color, label in (
            (self.rates, BLUE, "learning rate"),
            (self.momenta, VERMILION, "momentum"),
        ):
            lines = ax.plot(epochs, values, "o-", color=color, markersize=3, linewidth=1, alpha=0.6)
            lines[0].set_label(label)
        ax.set_yscale("log")
        ax.set_ylim(bottom=1e-3)
        ax.set_xlabel("epoch")
        ax.set_ylabel("rate, momentum")
        ax.set_title(f"{self.name}, batches of {self.batch_size}", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Last loss, rates at the end, and what the curvature cost."""
        kept = ~self.lost
        ended = np.log(self.loss[-1, kept])
        error = standard_error(ended) if kept.any() else math.nan
        spent = self.passes[-1].mean()
        note = ", INTERRUPTED" if self.interrupted else ""
        told = f"loss {np.exp(ended.mean()):.3g} (×/÷ {np.exp(error):.2f})" if kept.any() else "no loss left"
        epochs, lost = len(self.rates), int(self.lost.sum())
        share = 1 - np.isfinite(self.rates).sum(0).mean() / spent
        return (
            f"{self.name}: {told} after {epochs} epochs, {lost} of {len(kept)} lost\n"
            f"{spent:.0f} gradients over the data in the mean, {share:.0%} for curvature{note}"
        )


def train_by_lanczos(
    problem: Problem | Sequence[Problem],
    *,
    batch_size: int = 32,
    epochs: int = 10,
    examples: int = 256,
    corrected: bool = True,
    share: float = 1.0,
    first_rate: float = 0.1,
    growth: float = 2.0,
    seeds: int = 4,
    seed: int = 0,
) -> LearntTrainings:
    r"""Train by heavy ball; Lanczos on some examples sets rate and momentum before each epoch but the first.

    .. math:: \eta = \left(\frac{2}{\sqrt{\lambda_1} + \sqrt{\lambda_n}}\right)^2, \qquad
       \mu = \left(\frac{\sqrt{\lambda_1} - \sqrt{\lambda_n}}{\sqrt{\lambda_1} + \sqrt{\lambda_n}}\right)^2

    with the curvatures that batches see (:func:`~.batch_edges.batch_edges`), and :math:`|\lambda_n|` where it
    is negative.

    Parameters
    ----------
    problem : Problem, or sequence of them
        Where trainings start; it is not changed. Of several, which are one network in different states, the
        seeds take turns.
    batch_size, epochs : int
        Of each training; an epoch has as many whole batches as fit, each drawn anew.
    examples : int
        That the curvature is measured on, drawn anew at each epoch.
    corrected : bool
        False: the eigenvalues of these examples as they are.
    share : float
        Of the learnt rate that is used.
    first_rate : float
        Rate of the first epoch, without momentum: networks are flatter where they start than a few steps on,
        and a rate made for that flatness throws them out.
    growth : float
        By how much a rate may exceed that of the epoch before.
    seeds, seed : int
        How many trainings, and the first of their seeds, of batches and examples.

    Returns
    -------
    LearntTrainings
        An interrupt (Ctrl-C) returns the epochs that are done.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, a problem has no batches of (inputs, targets), or several differ in
        more than their parameters' values.

    Notes
    -----
    Cost: a gradient over the data an epoch and seed, and some 30 gradients over the ``examples``.
    Source: the on-the-fly learner of Granziol, Zohren, Roberts, arXiv 2006.09092, named in the abstract;
    rate and momentum are Polyak's (1964). The magnitude of negative curvature, the correction, ``first_rate``
    and ``growth`` are ours.
    """
    check_count("seeds", seeds)
    first, weights = stacked_starts(problem, seeds)
    _check(first.num_examples, batch_size, epochs, examples, share, first_rate, growth)
    steps = first.num_examples // batch_size
    rates = torch.full((seeds,), float(first_rate), dtype=torch.float64)
    runs = StackedRuns(first, weights, rates, momenta=torch.zeros(seeds))
    places = batch_orders(first.num_examples, batch_size, epochs * steps, range(seed, seed + seeds))
    sources = [generator(seed + run) for run in range(seeds)]
    log = _Log(seeds, runs.losses())
    interrupted = False
    with progress("learnt trainings", epochs * steps) as advance:
        try:
            for epoch in range(epochs):
                if epoch:
                    for run in np.flatnonzero(~log.lost).tolist():
                        found = _edges(first, runs.weights[run], batch_size, examples, sources[run])
                        log.keep(run, found)
                        if found is not None:
                            _set(runs, run, found.heavy_ball(corrected=corrected), share, growth)
                runs.rates[log.lost] = 0.0  # they stay where they are
                for step in range(steps):
                    runs.step(places[:, epoch * steps + step])
                    advance(1, f"epoch {epoch + 1}")
                log.end(runs, corrected)
        except KeyboardInterrupt:
            if len(log.loss) < 2:
                raise
            interrupted = True
    return LearntTrainings(
        **log.arrays(),
        lost=log.lost,
        batch_size=batch_size,
        examples=examples,
        corrected=corrected,
        share=float(share),
        interrupted=interrupted,
    )


class _Log:
    """What was found at each epoch, and which seeds are lost."""

    def __init__(self, seeds: int, loss: Tensor) -> None:
        self.loss, self.passes = [loss.numpy()], [np.zeros(seeds)]
        self.rates: list[np.ndarray] = []
        self.momenta: list[np.ndarray] = []
        self.edges: list[np.ndarray] = []
        self.errors: list[np.ndarray] = []
        self.lost = np.zeros(seeds, dtype=bool)
        self._now: dict[int, BatchEdges] = {}

    def keep(self, run: int, found: BatchEdges | None) -> None:
        """Keep one seed's curvature; without any it is lost."""
        if found is None:
            self.lost[run] = True
        else:
            self._now[run] = found

    def end(self, runs: StackedRuns, corrected: bool) -> None:
        """Keep an epoch, and see which trainings exploded in it."""
        seeds = len(self.lost)
        spent = [self._now[run].cost if run in self._now else 0.0 for run in range(seeds)]
        nothing = np.full(2, np.nan)
        self.edges.append(
            np.array(
                [
                    nothing if run not in self._now else self._now[run].used(corrected=corrected)
                    for run in range(seeds)
                ]
            )
        )
        self.errors.append(
            np.array([nothing if run not in self._now else self._now[run].stderr for run in range(seeds)])
        )
        self.passes.append(self.passes[-1] + np.where(self.lost, 0.0, 1.0 + np.array(spent)))
        self.loss.append(runs.losses().numpy())
        for values, kept in ((runs.rates, self.rates), (runs.momenta, self.momenta)):
            kept.append(np.where(self.lost, np.nan, values[:, 0].double().numpy()))
        sound = self.loss[-1] <= _LOST * self.loss[0]  # not if nan
        sound &= (runs.weights.abs().amax(1) <= _HUGE).numpy()  # dead units hide it from the loss
        self.lost |= ~sound
        self._now = {}

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was kept, by the names in the result; an epoch that was cut short is not among it."""
        return {
            "loss": np.array(self.loss),
            "passes": np.array(self.passes),
            "rates": np.array(self.rates),
            "momenta": np.array(self.momenta),
            "edges": np.array(self.edges),
            "edges_stderr": np.array(self.errors),
        }


def _edges(
    problem: Problem, weights: Tensor, batch_size: int, examples: int, source: torch.Generator
) -> BatchEdges | None:
    """Both ends of the spectrum at these weights; None of a dead network."""
    here = problem.at(problem.model.state_dict() | problem.as_parameters(weights))
    found = batch_edges(here, batch_size, examples, source)
    return found if np.abs(found.values).max() > 0 else None


def _set(runs: StackedRuns, run: int, chosen: HeavyBall, share: float, growth: float) -> None:
    runs.rates[run] = min(share * chosen.rate, growth * runs.rates[run].item())
    runs.momenta[run] = chosen.momentum


def _check(
    total: int,
    batch_size: int,
    epochs: int,
    examples: int,
    share: float,
    first_rate: float,
    growth: float,
) -> None:
    check_count("epochs", epochs)
    check_count("examples", examples, 4, total)
    check_count("batch_size", batch_size, 1, examples // 2)
    check_number("share", share, above=0, below=math.inf)
    check_number("first_rate", first_rate, above=0, below=math.inf)
    check_number("growth", growth, low=1)
