"""``reach_costs``: how many evaluations a search takes to a planted maximum, by dimension."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.particles.attacks.planted_maximisers import planted_maximiser
from workbench.particles.attacks.search_path import COUNTS
from workbench.particles.attacks.searches import direct_search
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"l2": VERMILION, "fgsm": ORANGE, "pgd": GREEN, "none": BLUE}


@dataclasses.dataclass(frozen=True, repr=False)
class ReachCosts(Result):
    """Evaluations to a value near the planted maximum.

    Attributes
    ----------
    attacks : tuple of str
        "none" is the direct search alone.
    dims : tuple of int
    costs : dict of str to ndarray (attacks, dims, seeds)
        By count, "batched" and "opportunistic", gradients included; inf if the value was not reached, nan
        where an interrupt came before.
    precision : float
        How far below the maximum is near enough.
    budget : int
        Batched evaluations over dim + 1 that a search had.
    interrupted : bool
        Whether some searches are missing.
    """

    attacks: tuple[str, ...]
    dims: tuple[int, ...]
    costs: dict[str, np.ndarray]
    precision: float
    budget: int
    interrupted: bool = False

    def median(self, attack: str, dim: int, count: str = "batched") -> float:
        """Median over the seeds; inf if half of them did not get there, nan if none was begun."""
        check_choice("attack", attack, self.attacks)
        check_choice("count", count, COUNTS)
        if dim not in self.dims:
            raise ValueError(f"dim={dim} is not one of {self.dims}")
        return _middle(self.costs[count][self.attacks.index(attack), self.dims.index(dim)])

    def frame(self) -> pd.DataFrame:
        """One row per attack, dimension and seed."""
        rows = [
            {"attack": attack, "dim": dim, "seed": seed}
            | {count: self.costs[count][a, d, seed] for count in COUNTS}
            for a, attack in enumerate(self.attacks)
            for d, dim in enumerate(self.dims)
            for seed in range(self.costs["batched"].shape[2])
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, count: str = "batched") -> "Axes":
        """Median evaluations against the dimension, with the range over the seeds; gaps were not reached."""
        ax = new_axes(ax)
        for attack, costs in zip(self.attacks, self.costs[count], strict=True):
            middle = np.array([_middle(each) for each in costs])
            middle[~np.isfinite(middle)] = np.nan
            sides = np.where(np.isfinite(costs), costs, np.nan)
            label = "direct search" if attack == "none" else f"hybrid ({attack})"
            shown = np.isfinite(middle)
            ax.plot(np.array(self.dims)[shown], middle[shown], "o-", color=_COLORS[attack], label=label)
            low, high = (np.array([f(each) for each in sides[shown]]) for f in (np.nanmin, np.nanmax))
            ax.fill_between(
                np.array(self.dims)[shown], low, high, color=_COLORS[attack], alpha=0.2, linewidth=0
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(self.dims, [str(dim) for dim in self.dims])
        ax.minorticks_off()
        ax.set_xlabel("dimension")
        ax.set_ylabel(f"evaluations to {self.precision:g}, {count}")
        ax.set_title(
            f"median and range of {self.costs[count].shape[2]} seeds; a gradient counts as 3",
            fontsize="small",
        )
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Medians at the largest dimension."""
        dim = self.dims[-1]
        told = ", ".join(
            f"{attack}: {self.median(attack, dim):.4g} batched, "
            f"{self.median(attack, dim, 'opportunistic'):.4g} one at a time"
            for attack in self.attacks
        )
        end = ", INTERRUPTED" if self.interrupted else ""
        return f"median evaluations to {self.precision:g} in {dim} dimensions, by attack: {told}{end}"


def reach_costs(
    dims: Sequence[int] = (5, 10, 20, 40),
    attacks: Sequence[str] = ("l2", "fgsm", "none"),
    *,
    condition: float = 10.0,
    seeds: int = 3,
    precision: float = 1e-6,
    units: int = 2000,
) -> ReachCosts:
    """Search for planted maxima in several dimensions, with attacks and without.

    After Ctrl-C the searches that are done come back, with ``interrupted`` set.

    Parameters
    ----------
    dims : sequence of int
    attacks : sequence of str
        "l2", "fgsm", "pgd", and "none".
    condition : float
        As for :func:`planted_maximiser`.
    seeds : int
        Each of a problem and of the search on it.
    precision : float
        How near to the maximum of 0.
    units : int
        Budget of a search, batched, in units of dim + 1.

    Raises
    ------
    ValueError
        If a choice is unknown or a number out of range.
    """
    for attack in attacks:
        check_choice("attack", attack, tuple(_COLORS))
    if not len(dims) or not len(attacks):
        raise ValueError(f"dims={list(dims)}, attacks={list(attacks)}: give at least one of each")
    check_count("units", units)
    check_count("seeds", seeds)
    check_number("precision", precision, above=0)
    costs = {count: np.full((len(attacks), len(dims), seeds), np.nan) for count in COUNTS}
    places = list(itertools.product(range(len(attacks)), range(len(dims)), range(seeds)))
    interrupted = False
    try:
        with progress("planted maxima", len(places)) as advance:
            for a, d, seed in places:
                found = direct_search(
                    planted_maximiser(dims[d], condition, seed=seed),
                    None if attacks[a] == "none" else attacks[a],
                    evaluations=units * (dims[d] + 1),
                    seed=seed,
                )
                if found.interrupted:
                    raise KeyboardInterrupt
                there = found.values >= -precision
                for count in COUNTS:
                    costs[count][a, d, seed] = found.cost(count)[there.argmax()] if there.any() else np.inf
                advance(1)
    except KeyboardInterrupt:
        interrupted = True
    return ReachCosts(tuple(attacks), tuple(dims), costs, precision, units, interrupted)


def _middle(costs: np.ndarray) -> float:
    """Median of what is known; it may be inf, of which numpy makes nan."""
    ordered = np.sort(costs[~np.isnan(costs)])
    if not len(ordered):
        return np.nan
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
