"""``ControlTrace``: what a controller did to the steps of a training."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class ControlTrace(Result):
    """Lengths of steps and the radii that they were held against.

    Attributes
    ----------
    step : ndarray (steps,) of int
        Number of the step, from 1.
    proposed : ndarray (steps,)
        Length of the optimizer's own update.
    radius : ndarray (steps,)
        Radius that it was held against; inf if none was finite, nan before there was an update.
    scale : ndarray (steps,)
        The part of the update that was asked for.
    taken : ndarray (steps,)
        Length of what the parameters then changed by, in float64: their rounding is in it.
    measured : ndarray (steps,) of bool
        Whether the radius was measured at this step, along this update.
    r : float
        Ratio of length to radius that was asked for.
    kind : str
        Of the radius.
    measured_on : str
        What the radius was measured on.
    """

    step: np.ndarray
    proposed: np.ndarray
    radius: np.ndarray
    scale: np.ndarray
    taken: np.ndarray
    measured: np.ndarray
    r: float
    kind: str
    measured_on: str

    def frame(self) -> pd.DataFrame:
        """One row per step; ``ratio`` is the length of the step taken over the radius."""
        return pd.DataFrame(
            {
                "step": self.step,
                "proposed": self.proposed,
                "radius": self.radius,
                "scale": self.scale,
                "taken": self.taken,
                "ratio": self.taken / self.radius,
                "measured": self.measured,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Length proposed, length taken and r times the radius, against the step."""
        ax = new_axes(ax)
        ax.plot(self.step, self.r * self.radius, color=GREEN, label=f"{self.r:g} × radius ({self.kind})")
        ax.plot(self.step, self.proposed, color=VERMILION, linestyle="--", label="length proposed")
        ax.plot(self.step, self.taken, color=BLUE, label="length taken")
        if len(self.step):
            ax.set_yscale("log")
        ax.set_xlabel("step")
        ax.set_ylabel("length of the update")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """How many steps were shortened, how far they would have gone, and what it cost."""
        if not len(self.step):
            return "no step"
        shortened = int((self.scale < 1).sum())
        longer = int((self.scale > 1).sum())
        note = f", {longer} lengthened" if longer else ""
        ratios = (self.proposed / self.radius)[np.isfinite(self.radius)]
        largest = f"; longest proposed {ratios.max():.3g} radii" if len(ratios) else ""
        measured = int(self.measured.sum())
        return (
            f"{shortened} of {len(self.step)} steps shortened{note}{largest}\n"
            f"{self.kind} radius measured {measured} times (one forward-mode product each) on "
            f"{self.measured_on}; other steps are not certified"
        )
