"""``compare_solvers``: the same separations by large steps and by what else there is, on equal passes."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.progress import progress, still_at_work
from workbench.random_vectors import generator
from workbench.result import Result, new_axes
from workbench.stability.experiments.log_means import Mean, log_mean
from workbench.stability.large_steps.example_sets import ExampleSets
from workbench.stability.large_steps.margins import Margins, max_margins
from workbench.stability.large_steps.scaled_descent import columns, take_step
from workbench.stability.large_steps.sweeps import KIND_COLORS, OTHER_COLOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RATES = ("γ = 1/L", "γ = 1e8", "perceptron in batches")
DESCENTS = tuple(f"{rule}, {rate}" for rule in ("gradient descent", "normalised") for rate in _RATES)
SOLVERS = (*DESCENTS, "perceptron", "L-BFGS", "least squares")


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class SolverContest(Result):
    """What every solver needed to separate s sets.

    Attributes
    ----------
    solvers : tuple of str
        Those that went through all sets.
    kinds, pairs, seeds : ndarray (s,)
        What each set is.
    passes : ndarray (solvers, s)
        Over the data, forward and backward, until the set was separated; nan if that did not happen. The one
        solve of least squares counts as the passes that have its products, d/2.
    share : ndarray (solvers, s)
        Margin of the plane that separates first, over the widest possible; nan if none did.
    mistakes : ndarray (s,)
        Corrections of the perceptron; nan if it was not run.
    difficulty : ndarray (s,)
        (R/μ)², the most mistakes that the perceptron makes; inf where nothing separates.
    limit : int
        Passes after which a solver was given up.
    interrupted : bool
        Whether solvers are missing.
    """

    solvers: tuple[str, ...]
    kinds: np.ndarray
    pairs: np.ndarray
    seeds: np.ndarray
    passes: np.ndarray
    share: np.ndarray
    mistakes: np.ndarray
    difficulty: np.ndarray
    limit: int
    interrupted: bool = False

    def times(self, kind: str, solver: str, beside: str = "gradient descent, γ = 1/L") -> Mean:
        """How many times the passes of another solver this one takes on the sets of a kind.

        Geometric mean over the sets with its 95% interval. A solver that was given up counts as the limit.
        """
        check_choice("kind", kind, list(dict.fromkeys(self.kinds.tolist())))
        check_choice("solver", solver, self.solvers)
        check_choice("beside", beside, self.solvers)
        passes = np.nan_to_num(self.passes[:, self.kinds == kind], nan=self.limit)
        return log_mean(passes[self.solvers.index(solver)] / passes[self.solvers.index(beside)])

    def frame(self) -> pd.DataFrame:
        """One row per solver and set."""
        solver, place = (index.ravel() for index in np.indices(self.passes.shape))
        return pd.DataFrame(
            {
                "solver": np.array(self.solvers)[solver],
                "kind": self.kinds[place],
                "pair": self.pairs[place],
                "seed": self.seeds[place],
                "passes": self.passes.ravel(),
                "share": self.share.ravel(),
                "difficulty": self.difficulty[place],
            }
        )

    def by_solver(self) -> pd.DataFrame:
        """One row per kind and solver: geometric means over the sets it separated, with 95% intervals."""
        rows = []
        for kind in dict.fromkeys(self.kinds.tolist()):
            for solver, name in enumerate(self.solvers):
                passes, share = (
                    self.passes[solver, self.kinds == kind],
                    self.share[solver, self.kinds == kind],
                )
                known = np.isfinite(passes)
                row = {"kind": kind, "solver": name, "sets": len(known), "separated": int(known.sum())}
                row["passes"], row["low"], row["high"], _ = log_mean(passes[known])
                row["share"], row["share_low"], row["share_high"], _ = log_mean(share[known])
                rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Every set as a point, a column for each solver; what did not separate is at the top."""
        ax = new_axes(ax)
        top = 2 * self.limit
        kinds = list(dict.fromkeys(self.kinds.tolist()))
        for place, kind in enumerate(kinds):
            values = np.nan_to_num(self.passes[:, self.kinds == kind], nan=top)
            x = np.arange(len(self.solvers))[:, None] + 0.7 * ((place + 0.5) / len(kinds) - 0.5) + 0 * values
            ax.plot(
                x.ravel(),
                values.ravel(),
                ".",
                color=KIND_COLORS.get(kind, OTHER_COLOR),
                alpha=0.7,
                label=kind,
            )
        ax.axhline(top, color="0.5", linewidth=1, linestyle="--")
        ax.set_yscale("log")
        ax.set_xticks(
            range(len(self.solvers)), [name.replace(", ", ",\n") for name in self.solvers], fontsize="x-small"
        )
        ax.set_ylabel("passes until separated (dashed: not)")
        ax.set_title(f"{len(self.kinds)} sets, at most {self.limit} passes", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Median passes of each solver on the sets of each kind, and what the perceptron's bound says."""
        lines = []
        for kind in dict.fromkeys(self.kinds.tolist()):
            found = np.where(np.isnan(self.passes), math.inf, self.passes)[:, self.kinds == kind]
            middle = np.sort(found, 1)[:, found.shape[1] // 2]
            told = (
                f"{name} {'none' if math.isinf(m) else f'{m:.0f}'}"
                for name, m in zip(self.solvers, middle, strict=True)
            )
            lines.append(f"{kind}, median passes: {'; '.join(told)}")
        used = self.mistakes / self.difficulty
        note = ", INTERRUPTED" if self.interrupted else ""
        share = f"at most {np.nanmax(used):.2g} of (R/μ)² mistakes" if np.isfinite(used).any() else "not run"
        lines.append(f"perceptron: {share}{note}")
        return "\n".join(lines)


def compare_solvers(sets: ExampleSets, *, limit: int = 2000) -> SolverContest:
    """Separate each set by large steps, by both perceptrons, by L-BFGS and by least squares.

    Gradient descent and its normalised form take steps of 1/L, the classical one, of 1e8, and infinite ones.
    The perceptron takes the examples one after another, in an order drawn from each set's seed. L-BFGS works
    on the same loss and stops at the first point that separates.

    Parameters
    ----------
    sets : ExampleSets
        Of any kind.
    limit : int
        Passes over the data after which a solver is given up.

    Returns
    -------
    SolverContest
        An interrupt (Ctrl-C) returns the solvers that were done.

    Raises
    ------
    TypeError, ValueError
        If ``limit`` is out of range.

    Notes
    -----
    Cost: up to ``8 * limit`` passes over each set, and a solve for the widest gap.
    """
    check_count("limit", limit)
    margins = max_margins(sets.rows)
    planes = torch.full((len(SOLVERS), *sets.rows.shape[::2]), torch.nan, dtype=torch.float64)
    passes = torch.full(planes.shape[:2], torch.nan, dtype=torch.float64)
    mistakes = torch.full((len(sets),), torch.nan, dtype=torch.float64)
    many = len(DESCENTS)
    done = 0
    interrupted = False
    try:
        with progress("solvers", 4) as advance:
            passes[:many], planes[:many] = _descents(sets.rows, margins, limit)
            done = many
            advance(1, "descents")
            passes[many], planes[many], mistakes = _perceptron(sets, limit)
            done += 1
            advance(1, "perceptron")
            for place, rows in enumerate(sets.rows.numpy()):
                passes[many + 1, place], planes[many + 1, place] = _lbfgs(rows, limit)
            done += 1
            advance(1, "L-BFGS")
            passes[many + 2], planes[many + 2] = _least_squares(sets.rows)
            done += 1
            advance(1, "least squares")
    except KeyboardInterrupt:
        if not done:
            raise
        interrupted = True
    passes, planes = passes[:done], planes[:done]
    reached = torch.einsum("snd,asd->asn", sets.rows, planes).amin(-1) / planes.norm(dim=-1)
    told = sets.columns()
    return SolverContest(
        solvers=SOLVERS[:done],
        kinds=told["kind"],
        pairs=told["pair"],
        seeds=told["seed"],
        passes=passes.numpy(),
        share=torch.where(passes.isfinite(), reached / margins.margin, torch.nan).numpy(),
        mistakes=mistakes.numpy(),
        difficulty=margins.difficulty.numpy(),
        limit=int(limit),
        interrupted=interrupted,
    )


def _descents(rows: Tensor, margins: Margins, limit: int) -> tuple[Tensor, Tensor]:
    """Passes (descents, sets) of both rules with three rates, and the planes that separate."""
    safe = 1 / margins.smoothness
    rates = torch.stack([safe, torch.full_like(safe, 1e8), torch.full_like(safe, torch.inf)], dim=1)
    rates, normalized = columns(rates)
    weights = rows.new_zeros(*rates.shape, rows.shape[-1])
    scores = rows.new_zeros(*rates.shape, rows.shape[1])
    passes, planes = torch.full_like(rates, torch.nan), torch.full_like(weights, torch.nan)
    for done in range(1, limit + 1):
        still_at_work()
        step = take_step(rows, weights, scores, rates, normalized)
        weights, scores = step.weights, step.margins
        ended = passes.isnan() & (scores > 0).all(-1)
        passes[ended], planes[ended] = float(done), weights[ended]
        if passes.isfinite().all():
            break
    return passes.T, planes.movedim(1, 0)


def _perceptron(sets: ExampleSets, limit: int) -> tuple[Tensor, Tensor, Tensor]:
    """Passes until there is no mistake any more, planes, and mistakes of all sets at the same time."""
    count, examples, dimension = sets.rows.shape
    orders = [torch.randperm(examples, generator=generator(seed)) for seed in sets.seeds]
    rows = (
        torch.stack([each[order] for each, order in zip(sets.rows, orders, strict=True)])
        .movedim(1, 0)
        .contiguous()
    )
    plane = rows.new_zeros(count, dimension)
    passes, mistakes = torch.full((count,), torch.nan, dtype=torch.float64), rows.new_zeros(count)
    for done in range(1, limit + 1):
        still_at_work()
        before = mistakes.clone()
        for row in rows:
            wrong = (row * plane).sum(-1) <= 0
            plane = plane + wrong[:, None] * row
            mistakes += wrong
        clean = passes.isnan() & (mistakes == before)
        passes[clean] = float(done - 1)  # the pass that finds no mistake only looks
        if passes.isfinite().all():
            break
    return passes, plane, mistakes


class _Separated(Exception):
    """Ends a search at the point that it was for."""


def _lbfgs(rows: np.ndarray, limit: int) -> tuple[float, Tensor]:
    """Evaluations of loss and gradient until one is at a point that separates, and that point."""
    count = 0
    last = np.zeros(rows.shape[1])

    def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal count, last
        still_at_work()
        margins = rows @ theta
        if (margins > 0).all():
            last = theta.copy()
            raise _Separated
        count += 1
        return float(np.logaddexp(0, -margins).mean()), -(expit(-margins) @ rows) / len(rows)

    options = {"maxfun": limit, "maxiter": limit, "gtol": 0.0, "ftol": 0.0}
    try:
        minimize(evaluate, last, jac=True, method="L-BFGS-B", options=options)
    except _Separated:
        return float(count), torch.from_numpy(last)
    return math.nan, torch.full((rows.shape[1],), torch.nan, dtype=torch.float64)


def _least_squares(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The plane of least squares to margins of 1, and its price, where it separates."""
    wanted = torch.ones(*rows.shape[:2], 1, dtype=rows.dtype)
    planes = torch.linalg.lstsq(rows, wanted, driver="gelsd").solution[..., 0]
    right = (torch.einsum("snd,sd->sn", rows, planes) > 0).all(-1)
    return torch.where(right, rows.shape[-1] / 2, torch.nan), planes
