"""``series_convergence``: Taylor sums inside and outside the radius, over trainings from several seeds."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.experiments.log_means import log_mean, student_mean
from workbench.stability.experiments.networks import NETWORKS, trained_problem
from workbench.stability.experiments.partial_sums import PartialSums, partial_sums

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_ROUNDING = float(np.finfo(float).eps)


@dataclasses.dataclass(frozen=True, repr=False)
class SeriesConvergence(Result):
    """What :func:`partial_sums` finds for a network from each of some seeds.

    Attributes
    ----------
    network : str
        What was trained.
    seed : ndarray (seeds,) of int
        Of the split, the weights and the batches.
    part : ndarray (points,)
        Distance over the exact radius of the example that limits the loss.
    error : ndarray (seeds, points)
        Of the sum up to ``order``, in magnitude.
    growth : ndarray (seeds, points)
        Factor of the error from one order to the next; nan where it has come down to rounding.
    radius : ndarray (seeds,)
        That exact radius.
    certified : ndarray (seeds,) of bool
        Whether it is.
    order : int
        Of the last term.
    epochs : int
        Of each training.
    interrupted : bool
        Whether seeds are missing.
    """

    network: str
    seed: np.ndarray
    part: np.ndarray
    error: np.ndarray
    growth: np.ndarray
    radius: np.ndarray
    certified: np.ndarray
    order: int
    epochs: int
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per seed and distance."""
        seeds, points = self.error.shape
        return pd.DataFrame(
            {
                "seed": np.repeat(self.seed, points),
                "part": np.tile(self.part, seeds),
                "error": self.error.ravel(),
                "growth": self.growth.ravel(),
            }
        )

    def by_part(self) -> pd.DataFrame:
        """One row per distance: means over the seeds with 95% intervals by Student's t.

        The mean error is geometric, of errors that count as float64's rounding at least. ``used`` counts the
        growths that are known.
        """
        rows = []
        for point, part in enumerate(self.part):
            error = log_mean(np.maximum(self.error[:, point], _ROUNDING))
            growth = student_mean(self.growth[np.isfinite(self.growth[:, point]), point])
            rows.append(
                {
                    "part": part,
                    "seeds": len(self.seed),
                    "error": error.mean,
                    "error_low": error.low,
                    "error_high": error.high,
                    "growth": growth.mean,
                    "growth_low": growth.low,
                    "growth_high": growth.high,
                    "used": growth.used,
                }
            )
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the growth of the error with each order against the distance, and what theory says of it."""
        ax = new_axes(ax)
        ends = np.array([min(self.part.min(), 0.8), max(self.part.max(), 1.2)])
        ax.plot(ends, ends, color="0.6", linewidth=1, label="in the limit: the distance over ρ*")
        ax.axvline(1, color="black", linestyle="--", linewidth=1)
        ax.axhline(1, color="black", linestyle="--", linewidth=1)
        means = self.by_part()
        for side, color, words in (
            (means["part"] < 1, BLUE, "inside"),
            (means["part"] >= 1, VERMILION, "outside"),
        ):
            rows = means[side & (means["used"] > 0)]
            if len(rows):
                spread = np.array([rows["growth"] - rows["growth_low"], rows["growth_high"] - rows["growth"]])
                ax.errorbar(rows["part"], rows["growth"], spread, color=color, linestyle="", marker="o",
                            markersize=4, capsize=3, label=words)  # fmt: skip
        ax.set_xlabel("distance / ρ*")
        ax.set_ylabel("growth of the error with each order (95% interval)")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Errors at the last order on both sides of the radius."""
        note = ", INTERRUPTED" if self.interrupted else ""
        lines = [
            f"Taylor sums to order {self.order}, {self.network} from {len(self.seed)} seeds, "
            f"{int(self.certified.sum())} radii certified{note}"
        ]
        for row in self.by_part().itertuples(index=False):
            span = f" [{row.error_low:.1e}, {row.error_high:.1e}]" if len(self.seed) > 1 else ""
            lines.append(
                f"at {row.part:g} ρ*: error {row.error:.1e}{span}, ×{row.growth:.3g} with each order"
            )
        lines.append("[] are 95% intervals of the mean over seeds (Student's t)")
        return "\n".join(lines)


def series_convergence(
    network: str = "mlp",
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    parts: Sequence[float] = (0.75, 0.9, 0.97, 1.03, 1.1, 1.25),
    order: int = 120,
    epochs: int = 20,
) -> SeriesConvergence:
    """Sum up the Taylor series of the example that limits the loss, along the gradient, from several seeds.

    Parameters
    ----------
    network : str
        One of ``NETWORKS``.
    seeds : sequence of int
        One training each.
    parts, order
        As in :func:`partial_sums`.
    epochs : int
        Of each training.

    Returns
    -------
    SeriesConvergence
        An interrupt (Ctrl-C) returns the seeds that were done.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range.

    Notes
    -----
    Cost: a training for each seed unless it is in the cache, a gradient and a forward-mode pass.
    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, Prop. 4.2.
    """
    check_choice("network", network, list(NETWORKS))
    check_count("number of seeds", len(seeds))
    check_count("epochs", epochs, low=1)
    found: list[PartialSums] = []
    interrupted = False
    try:
        with progress("Taylor sums", len(seeds)) as advance:
            for seed in seeds:
                problem = trained_problem(network, seed, epochs)
                found.append(partial_sums(problem, "gradient", parts=parts, order=order))
                advance(1, f"seed {seed}")
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return SeriesConvergence(
        network=network,
        seed=np.array(seeds[: len(found)]),
        part=found[0].part,
        error=np.array([sums.error[:, -1] for sums in found]),
        growth=np.array([sums.growth() for sums in found]),
        radius=np.array([sums.radius for sums in found]),
        certified=np.array([sums.certified for sums in found]),
        order=order,
        epochs=epochs,
        interrupted=interrupted,
    )
