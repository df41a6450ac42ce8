"""``Finding``: one number of an overview, with what it is uncertain by."""

import dataclasses
import math
from typing import TYPE_CHECKING

import pandas as pd

from workbench.colors import BLUE
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FEWEST = 5  # with fewer, a standard error is itself off by a third and more


@dataclasses.dataclass(frozen=True, repr=False)
class Finding(Result):
    """One number, with its interval.

    Attributes
    ----------
    name : str
        What it is, in words.
    value : float
    low, high : float
        Ends of its interval; nan if none is known, the value itself if it is exact.
    kind : str
        What the interval is: ``"95 %"``, ``"± standard error"``, ``"± residual"``, ``"exact"``, or nothing.
    unit : str
        Of the value; ``"%"`` for a share, which is kept from 0 to 1.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    kind: str = ""
    unit: str = ""

    @classmethod
    def exact(cls, name: str, value: float, unit: str = "") -> "Finding":
        """Return a number that was computed and not estimated."""
        return cls(name, float(value), float(value), float(value), "exact", unit)

    @classmethod
    def within(cls, name: str, value: float, error: float, kind: str, unit: str = "") -> "Finding":
        """Return a number with an error to both sides."""
        kind = "" if math.isnan(error) else f"± {kind}"
        return cls(name, float(value), float(value - error), float(value + error), kind, unit)

    @classmethod
    def estimated(
        cls, name: str, value: float, error: float, count: int, what: str, unit: str = ""
    ) -> "Finding":
        """Return a mean over ``count`` of ``what``, with its standard error if they are enough for one."""
        if count < FEWEST:
            return cls(name, float(value), kind=f"from {count} {what}: too few for an interval", unit=unit)
        return cls.within(name, value, error, "standard error", unit)

    @property
    def text(self) -> str:
        """Value, interval and unit, as people write them."""
        value = self._write(self.value)
        if self.kind == "exact" or math.isnan(self.low):
            written = value
        elif self.kind.startswith("±"):
            written = f"{value} ± {self._write(self.high - self.value, digits=2)}"
        else:
            written = f"{value} [{self._write(self.low)}, {self._write(self.high)}]"
        return f"{written} {self.unit}".strip()

    def frame(self) -> pd.DataFrame:
        """One row."""
        return pd.DataFrame([dataclasses.asdict(self)])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """A point with its interval."""
        ax = new_axes(ax)
        ax.plot(self.value, 0, "o", color=BLUE)
        if math.isfinite(self.low) and math.isfinite(self.high):
            ax.hlines(0, self.low, self.high, color=BLUE)
        ax.set_yticks([0], [self.name])
        ax.set_xlabel(self.unit)
        return ax

    def summary(self) -> str:
        """Name, value, and what the interval is."""
        return f"{self.name}: {self.text}" + (f" ({self.kind})" if self.kind else "")

    def _write(self, value: float, digits: int = 3) -> str:
        if self.unit == "%":
            value *= 100
        return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.{digits}g}"
