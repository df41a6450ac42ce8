"""``Caution``: a warning of an overview, with the number that it comes from."""

import dataclasses
import math
from typing import TYPE_CHECKING

import pandas as pd

from workbench.colors import VERMILION
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class Caution(Result):
    """A warning.

    Attributes
    ----------
    text : str
        What it is and what it means, with the number.
    source : str
        Which figure it comes from.
    value, threshold : float
        The number, and where the warning begins; nan if it begins at being there.
    """

    text: str
    source: str
    value: float
    threshold: float = math.nan

    @property
    def sentence(self) -> str:
        """The text as a sentence."""
        return f"{self.text[:1].upper()}{self.text[1:]}."

    @property
    def number(self) -> str:
        """The number, and where the warning begins."""
        return f"{self.value:.3g}" + (
            "" if math.isnan(self.threshold) else f", warned of at {self.threshold:.3g}"
        )

    def frame(self) -> pd.DataFrame:
        """One row."""
        return pd.DataFrame([dataclasses.asdict(self)])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The number beside its threshold."""
        ax = new_axes(ax)
        ax.plot(self.value, 0, "o", color=VERMILION)
        if math.isfinite(self.threshold):
            ax.axvline(self.threshold, color="0.4", linestyle=":")
        ax.set_yticks([0], [self.source])
        return ax

    def summary(self) -> str:
        """The warning and its number."""
        return f"{self.text} ({self.source}: {self.number})"
