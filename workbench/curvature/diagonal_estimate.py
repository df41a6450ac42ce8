"""``DiagonalEstimate``: the diagonal of a curvature matrix, with a standard error for every entry."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import Tensor

from workbench.colors import BLUE
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class DiagonalEstimate(Result):
    """The diagonal of a symmetric operator.

    Attributes
    ----------
    values, stderr : Tensor (n,)
        The entries and their standard errors, float64 (nan for one sample, 0 if exact).
    layer_sums, layer_stderr : Tensor (layers,)
        Sums over the parameters of the layout. Errors of entries are correlated, so that of a sum is not
        the root of the sum of their squares.
    trace, trace_stderr : float
        The sum of all.
    samples : int
        Number of samples.
    matvecs : int
        Products used.
    method : str
        ``"hutchinson"``, ``"xdiag"`` or ``"exact"``.
    terms : str
        What the operator is made of.
    layout : tuple of (name, start, stop)
        Which parameter stands where; one part named ``"all"`` for an operator that does not know.
    interrupted : bool
        Whether there are fewer samples than asked for because the computation was stopped.
    """

    values: Tensor
    stderr: Tensor
    layer_sums: Tensor
    layer_stderr: Tensor
    trace: float
    trace_stderr: float
    samples: int
    matvecs: int
    method: str
    terms: str
    layout: tuple[tuple[str, int, int], ...]
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per entry."""
        names = [name for name, _, _ in self.layout]
        lengths = [stop - start for _, start, stop in self.layout]
        return pd.DataFrame(
            {
                "index": np.arange(len(self.values)),
                "parameter": np.repeat(names, lengths),
                "value": self.values.numpy(),
                "stderr": self.stderr.numpy(),
            }
        )

    def layers(self) -> pd.DataFrame:
        """One row per parameter: how many ``entries``, their ``sum`` with ``stderr``, and their ``mean``."""
        entries = np.array([stop - start for _, start, stop in self.layout])
        return pd.DataFrame(
            {
                "parameter": [name for name, _, _ in self.layout],
                "entries": entries,
                "sum": self.layer_sums.numpy(),
                "stderr": self.layer_stderr.numpy(),
                "mean": self.layer_sums.numpy() / entries,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the sum over each parameter with two standard errors."""
        ax = new_axes(ax)
        layers = self.layers()
        ax.barh(layers["parameter"], layers["sum"], xerr=2 * layers["stderr"], color=BLUE, ecolor="0.3")
        ax.axvline(0, color="0.6", linewidth=0.8)
        ax.invert_yaxis()  # in the model's order, from above
        ax.set_xlabel(f"sum of the diagonal ({self.terms}), ± 2 stderr")
        ax.set_ylabel("parameter")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """The trace, the typical error of an entry, and the cost."""
        note = ", interrupted" if self.interrupted else ""
        size = float(self.values.square().mean().sqrt())
        error = float(self.stderr.square().mean().sqrt())
        how = "exact" if self.method == "exact" else f"{self.samples} samples by {self.method}{note}"
        return (
            f"diagonal of {len(self.values)} entries, trace {self.trace:.5g} ± {self.trace_stderr:.2g} "
            f"({how})\n"
            f"root mean square of the entries {size:.3g}, of their standard errors {error:.2g}, "
            f"{self.matvecs} products, of: {self.terms}"
        )
