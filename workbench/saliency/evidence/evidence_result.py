"""``Evidence``: one metric of one explainer, sample by sample, with its mean and interval."""

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.colors import BLUE, SKY
from workbench.result import Result, new_axes
from workbench.saliency.evidence.intervals import LEVEL, bootstrap_interval, grouped_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 30


def read_groups(classes: Any, maps: Tensor) -> np.ndarray | None:
    """Classes (N,) of the samples as an array, None without.

    Raises
    ------
    ValueError
        If there is not one for each map.
    """
    if classes is None:
        return None
    groups = torch.as_tensor(classes).cpu().numpy()
    if groups.shape != (len(maps),):
        raise ValueError(f"classes have shape {groups.shape}: {len(maps)} maps need one each")
    return groups


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Evidence(Result):
    """Values of a metric for N samples.

    Attributes
    ----------
    metric : str
        Its name.
    values : ndarray (N,)
        One per sample, nan where the metric is undefined; these are counted and left out of the mean.
    better : {"higher", "lower", ""}
        Which values speak for the maps; empty where neither does by itself.
    notes : tuple of str
        What was held fixed, filled in or chosen.
    warning : str
        Why the values say little, or nothing.
    groups : ndarray (N,), optional
        The class of each sample: the mean is then the mean over the classes of their means.
    positions : ndarray (s,), optional
        Where the curves were measured.
    curves : ndarray (N, s), optional
        The curve of each sample, nan where undefined.
    axis : str
        What the positions are.
    ticks : tuple of str
        Names of the positions, if they have names.
    inputs_evaluated : int
        Inputs that went forward through the model for the metric itself.
    maps_made : int
        Maps that were made for it; 0 if given ones sufficed.
    seed : int
        Of the bootstrap, and of what the metric draws.
    interrupted : bool
        Whether there were more samples, which were not done.
    """

    metric: str
    values: np.ndarray
    better: str = ""
    notes: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    positions: np.ndarray | None = None
    curves: np.ndarray | None = None
    axis: str = ""
    ticks: tuple[str, ...] = ()
    inputs_evaluated: int = 0
    maps_made: int = 0
    seed: int = 0
    interrupted: bool = False
    warning: str = ""

    @property
    def n(self) -> int:
        """Samples for which the metric is defined."""
        return int(np.isfinite(self.values).sum())

    @property
    def undefined(self) -> int:
        """Samples for which it is not."""
        return len(self.values) - self.n

    @property
    def mean(self) -> float:
        """Over the defined samples, or over the classes if there are groups; nan if there is none."""
        return float(grouped_mean(self.values, self.groups))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean; nan for fewer than two defined samples."""
        low, high = bootstrap_interval(self.values, self.groups, seed=self.seed)
        return float(low), float(high)

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.interval[1]

    def curve_frame(self) -> pd.DataFrame:
        """One row per position: mean over the samples, interval, and how many samples are defined there.

        Raises
        ------
        ValueError
            If the metric has no curves.
        """
        if self.curves is None or self.positions is None:
            raise ValueError(f"{self.metric} has no curves")
        low, high = bootstrap_interval(self.curves, seed=self.seed)
        table = pd.DataFrame(
            {
                "position": self.positions,
                "mean": grouped_mean(self.curves),
                "low": low,
                "high": high,
                "n": np.isfinite(self.curves).sum(axis=0),
            }
        )
        if self.ticks:
            table.insert(1, "name", self.ticks)
        return table

    def frame(self) -> pd.DataFrame:
        """One row per sample."""
        table = pd.DataFrame({"sample": np.arange(len(self.values)), self.metric: self.values})
        if self.groups is not None:
            table["class"] = self.groups
        return table

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the mean curve with its interval, or how the values are spread, with their mean."""
        ax = new_axes(ax)
        if self.curves is not None:
            self.plot_curve(ax, BLUE, "mean over samples")
            ax.set_ylabel(self.metric)
        else:
            ax.hist(self.values[np.isfinite(self.values)], bins=_BINS, color=SKY)
            ax.axvline(self.mean, color=BLUE, label=f"mean {self.mean:.3g}")
            if np.isfinite(self.low):
                ax.axvspan(self.low, self.high, color=BLUE, alpha=0.2, label=f"{LEVEL:.0%} interval")
            ax.set_xlabel(self.metric)
            ax.set_ylabel("samples")
        ax.legend(fontsize="small")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def plot_curve(self, ax: "Axes", color: str, label: str) -> None:
        """Draw the mean curve with its interval into axes."""
        table = self.curve_frame()
        ax.plot(table["position"], table["mean"], color=color, marker="." if self.ticks else "", label=label)
        ax.fill_between(table["position"], table["low"], table["high"], color=color, alpha=0.2, linewidth=0)
        if self.ticks:
            ax.set_xticks(table["position"], self.ticks, rotation=60, ha="right", fontsize="small")
        ax.set_xlabel(self.axis)

    def summary(self) -> str:
        """Mean with its interval, how many samples, what was chosen, and the cost."""
        over = "" if self.groups is None else f" over {len(np.unique(self.groups))} classes"
        undefined = f", {self.undefined} UNDEFINED and left out" if self.undefined else ""
        better = f"; {self.better} is better" if self.better else ""
        lines = [
            f"{self.metric} {self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]{over} "
            f"({self.n} samples{undefined}{better})",
            *self.notes,
            *([self.warning] if self.warning else []),
            f"{self.inputs_evaluated} inputs evaluated, {self.maps_made} maps made"
            + (", INTERRUPTED before the rest" if self.interrupted else ""),
        ]
        return "\n".join(lines)
