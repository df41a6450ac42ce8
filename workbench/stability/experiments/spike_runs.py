"""``SpikeRuns``: trainings that met a learning rate far too large, and how they ended."""

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from workbench.choices import check_choice
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.result import Result, new_axes
from workbench.stability.experiments.log_means import student_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {
    "plain": VERMILION,
    "clipped": ORANGE,
    "length-capped": SKY,
    "armijo": "0.4",
    "polyak": GREEN,
    "controlled": BLUE,
}
_QUANTITIES = {  # the columns of their intervals, and how the labels name them
    "accuracy": ("interval", ""),
    "train_mode_accuracy": ("train_mode_interval", ", in train mode"),
}
_LINES = ("-", "--", ":", "-.")


class SpikeRun(NamedTuple):
    """One training; the fields are those of :class:`SpikeRuns`."""

    network: str
    factor: float
    method: str
    seed: int
    accuracy: float
    train_mode_accuracy: float
    largest_ratio: float
    ratio_before: float
    finite: bool


@dataclasses.dataclass(frozen=True, repr=False)
class SpikeRuns(Result):
    """Trainings of several networks by several methods, one entry each.

    Attributes
    ----------
    network, method : tuple of str
        What was trained, and how it was kept in bounds.
    factor : ndarray (runs,)
        What the learning rate was multiplied by.
    seed : ndarray (runs,) of int
        Of the split, the weights and the batches.
    accuracy : ndarray (runs,)
        Share of the held-out examples that are classified right at the end, in eval mode.
    train_mode_accuracy : ndarray (runs,)
        The same in train mode: BatchNorm has the statistics of the held-out examples instead of the running
        ones, which lag behind a network that has just moved far. Without BatchNorm it is the same.
    largest_ratio : ndarray (runs,)
        Largest length of a step over the radius along it during the spike; inf if it was not finite.
    ratio_before : ndarray (runs,)
        The same before the spike.
    finite : ndarray (runs,) of bool
        Whether the parameters stayed finite; else the training ended there.
    rate : float
        Learning rate outside the spike.
    steps, start, hold : int
        Steps in all, before the spike, and of the spike.
    batch_size : int, optional
        None if each step saw all examples.
    kind : str
        Of the radius.
    interrupted : bool
        Whether runs are missing.
    """

    network: tuple[str, ...]
    factor: np.ndarray
    method: tuple[str, ...]
    seed: np.ndarray
    accuracy: np.ndarray
    train_mode_accuracy: np.ndarray
    largest_ratio: np.ndarray
    ratio_before: np.ndarray
    finite: np.ndarray
    rate: float
    steps: int
    start: int
    hold: int
    batch_size: int | None
    kind: str
    interrupted: bool = False

    @staticmethod
    def columns(runs: list[SpikeRun]) -> dict[str, Any]:
        """Fields for these runs: words as tuples, numbers as arrays."""
        words = ("network", "method")
        return {
            name: tuple(values) if name in words else np.array(values)
            for name, values in ((name, [getattr(run, name) for run in runs]) for name in SpikeRun._fields)
        }

    def frame(self) -> pd.DataFrame:
        """One row per training."""
        return pd.DataFrame({name: getattr(self, name) for name in SpikeRun._fields})

    def means(self) -> pd.DataFrame:
        """One row per network, factor and method: mean accuracies over the seeds and half of their intervals.

        ``interval`` and ``train_mode_interval`` are half of the 95% interval of the mean by Student's t over
        the seeds, nan for one. It takes accuracies for normal, which they are not where some seeds fail and
        others do not.
        """
        rows = []
        for (network, factor, method), runs in self.frame().groupby(
            ["network", "factor", "method"], sort=False
        ):
            right, in_train_mode = (
                student_mean(runs[name].to_numpy()) for name in ("accuracy", "train_mode_accuracy")
            )
            rows.append(
                {
                    "network": network,
                    "factor": factor,
                    "method": method,
                    "seeds": right.used,
                    "accuracy": right.mean,
                    "interval": right.high - right.mean,
                    "worst": runs["accuracy"].min(),
                    "train_mode_accuracy": in_train_mode.mean,
                    "train_mode_interval": in_train_mode.high - in_train_mode.mean,
                    "largest_ratio": runs["largest_ratio"].max(),
                }
            )
        return pd.DataFrame(rows)

    def plot(
        self, ax: "Axes | None" = None, network: str | None = None, quantity: str = "accuracy"
    ) -> "Axes":
        """Mean accuracy at the end, with its 95% interval, against the factor of the learning rate.

        Of all networks, or of one; ``quantity`` is ``"accuracy"`` or ``"train_mode_accuracy"``.
        """
        check_choice("quantity", quantity, tuple(_QUANTITIES))
        networks = list(dict.fromkeys(self.network))
        if network is not None:
            check_choice("network", network, networks)
            networks = [network]
        interval, mode = _QUANTITIES[quantity]
        ax = new_axes(ax)
        means = self.means() if len(self.seed) else pd.DataFrame({"network": [], "method": []})
        means = means[means["network"].isin(networks)]
        for names, rows in means.groupby(["network", "method"], sort=False):
            network, method = map(str, names)
            label = f"{network}, {method}" if len(networks) > 1 else method
            style = _LINES[networks.index(network) % len(_LINES)]
            ax.errorbar(rows["factor"], rows[quantity], rows[interval], color=_COLORS[method],
                        linestyle=style, marker=".", capsize=2, label=label)  # fmt: skip
        ax.axhline(0.1, color="0.7", linewidth=0.8, zorder=0)
        ax.set_xscale("log")
        ax.set_ylim(0, 1.02)
        ax.set_xlabel(f"factor of the learning rate {self.rate:g}, {self._when()}")
        ax.set_ylabel(f"held-out accuracy{mode} (95% interval)")
        title = self._describe() if len(networks) != 1 else f"{networks[0]}: {self._describe()}"
        ax.set_title(title, fontsize="small", wrap=True)
        if len(means):
            ax.legend(fontsize="x-small", loc="lower left")
        return ax

    def summary(self) -> str:
        """Accuracy of each method at the largest factor, with its interval over the seeds."""
        if not len(self.seed):
            return f"no run{self._note()}"
        means = self.means()
        rows = means[means["factor"] == means["factor"].max()]
        lines = [self._describe()]
        for row in rows.itertuples(index=False):
            error = f" ± {row.interval:.1%}" if row.seeds > 1 else ""
            lines.append(
                f"×{row.factor:g} {row.network}, {row.method}: {row.accuracy:.1%}{error} "
                f"(worst {row.worst:.1%}), longest step {row.largest_ratio:.3g} radii"
            )
            if row.train_mode_accuracy != row.accuracy:
                lines[-1] += f"; {row.train_mode_accuracy:.1%} in train mode"
        lines.append("± is the 95% interval of the mean over seeds (Student's t)")
        return "\n".join(lines)

    def _when(self) -> str:
        if self.start + self.hold >= self.steps:
            return f"from step {self.start} on"
        return f"at step {self.start}" if self.hold == 1 else f"for {self.hold} steps from {self.start} on"

    def _describe(self) -> str:
        batch = "all examples" if self.batch_size is None else f"batches of {self.batch_size}"
        spike = "one step" if self.hold == 1 else f"{self.hold} steps"
        return (
            f"{len(self.seed)} trainings of {self.steps} steps, {batch}, spike of {spike}; "
            f"{self.kind} radius{self._note()}"
        )

    def _note(self) -> str:
        return ", INTERRUPTED" if self.interrupted else ""
