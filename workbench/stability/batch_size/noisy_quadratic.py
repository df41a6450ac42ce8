r"""``run_quadratic``: a quadratic with noisy gradients, where the laws of the batch size hold exactly.

The loss is :math:`\frac12 \lambda x^2`; a batch of B examples has the gradient
:math:`\lambda x + \rho_B \xi` with :math:`\rho_B = \rho/\sqrt B`, :math:`\xi` normal. The *settled rate* is
the learning rate at which the mean square of x, over runs that start at 1, settles at 1: with a larger one
it grows.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes, standard_error
from workbench.stability.last_iterates.rate_fits import Slope, fitted_slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = ("sgd", "momentum", "normalised", "adam")
COLORS = dict(zip(METHODS, (BLUE, GREEN, ORANGE, VERMILION), strict=True))
BLOCKS = 20  # of runs, for intervals
BETAS = (0.9, 0.99)  # Adam's: the second is smaller than usual, as its memory has to be short beside the runs
_SPAN = (0.25, 8.0)  # times the settled rate in closed form: where rates are looked for
_RATES, _ROUNDS = 9, 4  # rates that a round tries; where all blocks agree, the last resolves 0.1 %


def settled_rate(
    method: str, curvature: float, noise: np.ndarray | float, momentum: float = 0.9
) -> np.ndarray:
    r"""Settled rate in closed form.

    ================  =============================================================================
    ``"sgd"``         :math:`2\lambda / (\lambda^2 + \rho_B^2)`: linear in B, then :math:`2/\lambda`
    ``"momentum"``    :math:`2\lambda(1 - \mu^2) / ((1 - \mu)\lambda^2 + (1 + \mu)\rho_B^2)`: the same
    ``"normalised"``  :math:`2\lambda / \sqrt{\lambda^2 + \rho_B^2}`: the root of B, then 2
    ================  =============================================================================

    The first is :math:`2/\lambda(B)` with :math:`\lambda(B) = \lambda + \rho_B^2/\lambda`, as in the spiked
    model of batches' Hessians, but without its threshold. Normalised steps are
    :math:`\eta g/\sqrt{E g^2}`, Adam's with a mean over infinitely many steps. All are derived here from the
    recursions of :func:`second_moments`.

    Raises
    ------
    ValueError
        If there is no such method, or no closed form of it (``"adam"``).
    """
    check_choice("method", method, METHODS[:-1])
    square = np.square(noise)
    if method == "normalised":
        return 2 * curvature / np.sqrt(curvature**2 + square)
    mu = momentum if method == "momentum" else 0.0
    return 2 * curvature * (1 - mu**2) / ((1 - mu) * curvature**2 + (1 + mu) * square)


def second_moments(
    method: str, rate: float, curvature: float, noise: float, steps: int, momentum: float = 0.9
) -> np.ndarray:
    r"""Mean square of x at each step (steps + 1,) from 1 on, by the exact recursion.

    Of SGD :math:`m \leftarrow (1 - \eta\lambda)^2 m + \eta^2\rho_B^2`; of heavy ball for the moments of x and
    its velocity; normalised steps replace :math:`\eta` by :math:`\eta/\sqrt{\lambda^2 m + \rho_B^2}`.

    Raises
    ------
    ValueError
        If there is no such method, or no recursion of it.
    """
    check_choice("method", method, METHODS[:-1])
    mu = momentum if method == "momentum" else 0.0
    moments = np.zeros((2, 2))  # of x and v; v <- mu v + g, x <- x - rate v
    moments[0, 0] = 1.0
    found = [1.0]
    for _ in range(steps):
        scale = math.sqrt(curvature**2 * moments[0, 0] + noise**2) if method == "normalised" else 1.0
        step = rate / scale
        change = np.array([[1 - step * curvature, -step * mu], [curvature, mu]])
        kick = noise * np.array([-step, 1.0])
        moments = change @ moments @ change.T + np.outer(kick, kick)
        found.append(moments[0, 0])
    return np.array(found)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class QuadraticRates(Result):
    r"""Settled rates of m methods over s batch sizes, from runs of a noisy quadratic.

    Attributes
    ----------
    methods : tuple of str
    sizes : ndarray (s,)
        Batch sizes B, ascending.
    blocks : ndarray (m, s, 20)
        Settled rates of blocks of runs; nan where none of the rates that were tried is.
    curvature, noise, momentum : float
        :math:`\lambda`, :math:`\rho` of one example, and :math:`\mu`.
    runs, steps, seed : int
    interrupted : bool
        Whether there are fewer methods than were asked for.
    """

    methods: tuple[str, ...]
    sizes: np.ndarray
    blocks: np.ndarray
    curvature: float
    noise: float
    momentum: float
    runs: int
    steps: int
    seed: int
    interrupted: bool = False

    def measured(self, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Settled rates (s,) and their standard errors."""
        blocks = self._of(method)
        return blocks.mean(1), standard_error(blocks.T)

    def exact(self, method: str) -> np.ndarray:
        """Return those in closed form (s,)."""
        return settled_rate(method, self.curvature, self.noise / np.sqrt(self.sizes), self.momentum)

    @property
    def critical_size(self) -> float:
        """Batch size at which the noise equals the curvature."""
        return (self.noise / self.curvature) ** 2

    def slope(self, method: str) -> Slope:
        """Power of B that settled rates grow with up to a tenth of the critical size, with its 95% interval.

        The first two sizes at least.
        """
        kept = self.sizes <= max(self.critical_size / 10, self.sizes[1])
        return fitted_slope(self.sizes[kept], self._of(method)[kept], self.seed)

    def frame(self) -> pd.DataFrame:
        """One row per method and batch size."""
        parts = []
        for method in self.methods:
            mean, error = self.measured(method)
            exact = self.exact(method) if method != "adam" else math.nan
            columns = {"method": method, "batch_size": self.sizes, "rate": mean, "rate_stderr": error}
            parts.append(pd.DataFrame(columns | {"exact": exact}))
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw measured settled rates with two standard errors, and the closed forms as lines."""
        ax = new_axes(ax)
        for method in self.methods:
            mean, error = self.measured(method)
            slope = self.slope(method)
            label = f"{method}: slope {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
            ax.errorbar(self.sizes, mean, 2 * error, fmt="o", ms=4, color=COLORS[method], label=label)
            if method != "adam":
                ax.plot(self.sizes, self.exact(method), color=COLORS[method])
        ax.axvline(self.critical_size, color="0.6", linewidth=1, linestyle=":")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("batch size; dotted: noise = curvature")
        ax.set_ylabel("learning rate that settles at the start's level")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Slopes with intervals, the largest distance from the closed forms, and what was run."""
        lines = []
        for method in self.methods:
            slope = self.slope(method)
            line = f"{method}: B^{slope.value:.3f} [{slope.low:.3f}, {slope.high:.3f}] at small B"
            if method != "adam":
                off = np.abs(self.measured(method)[0] / self.exact(method) - 1).max()
                line += f", at most {off:.1%} from the closed form"
            lines.append(line)
        note = ", INTERRUPTED" if self.interrupted else ""
        count = len(self.sizes) * _RATES * _ROUNDS * self.runs * len(self.methods)
        return "\n".join([*lines, f"{count:.3g} runs of {self.steps} steps{note}"])

    def _of(self, method: str) -> np.ndarray:
        check_choice("method", method, self.methods)
        return self.blocks[self.methods.index(method)]


def run_quadratic(
    sizes: Sequence[int] = (1, 4, 16, 64, 256, 1024, 4096),
    methods: Sequence[str] = METHODS,
    *,
    curvature: float = 1.0,
    noise: float = 16.0,
    momentum: float = 0.9,
    runs: int = 1000,
    steps: int = 1000,
    seed: int = 0,
) -> QuadraticRates:
    r"""Run a quadratic with noisy gradients at many rates, and find those that settle at the start's level.

    All runs of a method, with every batch size and rate, are one tensor.

    Parameters
    ----------
    sizes : sequence of int
        Batch sizes, ascending, at least two.
    methods : sequence of str
        Of ``"sgd"``, ``"momentum"``, ``"normalised"`` and ``"adam"``. Normalised steps know the mean square
        of the gradient; Adam estimates it run by run, with betas 0.9 and 0.99.
    curvature, noise : float
        :math:`\lambda` and :math:`\rho` of one example.
    momentum : float
        Of heavy ball.
    runs : int
        At each size and rate, a multiple of 20.
    steps : int
        Of each run; the mean square is that of their second half.
    seed : int

    Returns
    -------
    QuadraticRates
        An interrupt (Ctrl-C) returns the methods that are done.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: 36 rates × sizes × runs × steps for each method, some 3 ns each on one core. Four rounds of nine
    rates, the first from a quarter to eight times the closed form; each further one is between the rates that
    are below the crossing in all blocks and those above it. The noise is the same at all rates, so that
    rounds find the same crossing.
    """
    for size in sizes:
        check_count("sizes", size)
    if len(sizes) < 2 or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"sizes={list(sizes)}: give at least 2 batch sizes in ascending order")
    if not methods:
        raise ValueError(f"methods is empty: name some of {', '.join(METHODS)}")
    for method in methods:
        check_choice("methods", method, METHODS)
    check_number("curvature", curvature, above=0, below=math.inf)
    check_number("noise", noise, above=0, below=math.inf)
    check_number("momentum", momentum, low=0, below=1)
    check_count("runs", runs, low=BLOCKS, multiple=BLOCKS)
    check_count("steps", steps, low=2)
    spread = noise / np.sqrt(np.array(sizes))
    found: list[np.ndarray] = []
    interrupted = False
    with progress("noisy quadratic", len(methods) * _ROUNDS * steps) as advance:
        try:
            for method in methods:
                closed = settled_rate(
                    "normalised" if method == "adam" else method, curvature, spread, momentum
                )
                ends = np.outer(_SPAN, closed)
                for _ in range(_ROUNDS):
                    rates = np.geomspace(ends[0], ends[1], _RATES, axis=1)
                    walk = _Walk(method, curvature, spread, rates, momentum, runs, seed)
                    for step in range(steps):
                        walk.advance(keep=step >= steps // 2)
                        advance(1, method)
                    squares = walk.mean_squares()
                    ends = _around(rates, squares)
                found.append(_crossings(rates, squares))
        except KeyboardInterrupt:
            if not found:
                raise
            interrupted = True
    return QuadraticRates(
        methods=tuple(methods[: len(found)]),
        sizes=np.array(sizes),
        blocks=np.array(found),
        curvature=float(curvature),
        noise=float(noise),
        momentum=float(momentum),
        runs=runs,
        steps=steps,
        seed=seed,
        interrupted=interrupted,
    )


class _Walk:
    """Runs (s, rates, runs) of one method, and the sums of their squares."""

    def __init__(
        self,
        method: str,
        curvature: float,
        spread: np.ndarray,
        rates: np.ndarray,
        momentum: float,
        runs: int,
        seed: int,
    ) -> None:
        self.method, self.curvature = method, curvature
        self.momentum = momentum if method == "momentum" else 0.0
        self.spread = torch.from_numpy(spread).float()[:, None, None]
        self.rates = torch.from_numpy(rates).float()[:, :, None]
        self.x = torch.ones(*rates.shape, runs)
        self._noise = (len(rates), 1, runs)  # the same at all rates
        self.first, self.second, self.squares = (torch.zeros_like(self.x) for _ in range(3))
        self.random = generator(seed)
        self.steps = self.kept = 0

    def advance(self, *, keep: bool) -> None:
        """One step of all runs; those that diverge reach infinity and stay there."""
        gradient = self.spread * torch.randn(self._noise, generator=self.random) + self.curvature * self.x
        self.steps += 1
        self.x = self.x - self.rates * self._direction(gradient)
        if keep:
            self.squares += self.x.square()
            self.kept += 1

    def _direction(self, gradient: Tensor) -> Tensor:
        if self.method == "normalised":
            return gradient / gradient.square().mean(-1, keepdim=True).sqrt()
        if self.method == "adam":
            self.first.lerp_(gradient, 1 - BETAS[0])
            self.second.lerp_(gradient.square(), 1 - BETAS[1])
            scale = (self.second / (1 - BETAS[1] ** self.steps)).sqrt_()
            return self.first / (1 - BETAS[0] ** self.steps) / scale
        self.first = self.momentum * self.first + gradient
        return self.first

    def mean_squares(self) -> np.ndarray:
        """Means over steps and blocks of runs (s, rates, blocks); inf of what diverged."""
        means = (self.squares / self.kept).reshape(*self.x.shape[:2], BLOCKS, -1).double().mean(-1)
        return means.nan_to_num(math.inf, math.inf).numpy()


def _first_above(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place (s, blocks) of the first rate whose mean square is above 1, and whether one below it is there."""
    above = squares > 1
    place = above.argmax(axis=1)
    return place, (place > 0) & above.any(axis=1)


def _around(rates: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Rates (2, s) between which all blocks cross 1; all that were tried where one does not."""
    place, inside = _first_above(squares)
    low = np.where(inside, place - 1, 0).min(axis=1)
    high = np.where(inside, place, rates.shape[1] - 1).max(axis=1)
    row = np.arange(len(rates))
    return np.array([rates[row, low], rates[row, high]])


def _crossings(rates: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Rates (s, blocks) at which mean squares (s, rates, blocks) first pass 1, between two tried ones."""
    place, inside = _first_above(squares)
    above = np.maximum(place, 1)[:, None]
    logs = np.log(np.clip(squares, 1e-300, 1e300))
    low, high = (np.take_along_axis(logs, each, axis=1)[:, 0] for each in (above - 1, above))
    grid = np.log(np.broadcast_to(rates[:, :, None], squares.shape))
    start, end = (np.take_along_axis(grid, each, axis=1)[:, 0] for each in (above - 1, above))
    share = np.where(inside, -low / np.where(high > low, high - low, 1.0), np.nan)
    return np.exp(start + share * (end - start))
