"""``RateRange``: what a test over learning rates has seen, and the rate that it suggests."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.colors import BLUE, VERMILION
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class RateRange(Result):
    """Losses of minibatches while the learning rate grew.

    Attributes
    ----------
    rate : ndarray (steps,)
        Learning rate of the step that followed the loss.
    loss : ndarray (steps,)
        Of each minibatch, before its step.
    smooth : ndarray (steps,)
        Exponential mean of the losses, with the correction for its start.
    diverged : bool
        Whether the test ended because the loss had grown too much.
    interrupted : bool
        Whether it was stopped before its end.
    """

    rate: np.ndarray
    loss: np.ndarray
    smooth: np.ndarray
    diverged: bool
    interrupted: bool = False

    @property
    def suggested(self) -> float:
        """Rate at which the smooth loss falls most steeply against the logarithm of the rate; nan if never.

        A rule of thumb without error bars: another seed gives another rate, by a factor of two or so.
        """
        if len(self.rate) < 3:
            return np.nan
        slope = np.gradient(self.smooth, np.log(self.rate))
        return float(self.rate[slope.argmin()]) if slope.min() < 0 else np.nan

    def frame(self) -> pd.DataFrame:
        """One row per step."""
        return pd.DataFrame({"rate": self.rate, "loss": self.loss, "smooth": self.smooth})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Losses against the learning rate, with the suggested one."""
        ax = new_axes(ax)
        ax.plot(self.rate, self.loss, color=BLUE, alpha=0.3, linewidth=0.8, label="minibatch")
        ax.plot(self.rate, self.smooth, color=BLUE, label="exponential mean")
        if np.isfinite(self.suggested):
            label = f"steepest, {self.suggested:.2g}"
            ax.axvline(self.suggested, color=VERMILION, linestyle="--", label=label)
        if len(self.rate):
            ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss")
        ax.set_title(self.summary(), fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The suggested rate, and how far the test went."""
        if not len(self.rate):
            return "no step"
        end = "the loss diverged" if self.diverged else "INTERRUPTED" if self.interrupted else "its end"
        return (
            f"loss falls most steeply at rate {self.suggested:.3g} ({len(self.rate)} steps, one gradient "
            f"each, {self.rate[0]:.2g} to {self.rate[-1]:.2g}: {end})"
        )
