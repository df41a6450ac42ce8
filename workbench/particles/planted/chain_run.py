"""``ChainRun``: what chains on the sphere found, along the way and in the end."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor

from workbench.choices import check_choice
from workbench.colors import BLUE, GREEN, ORANGE
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = {
    "last": ("last iterate with the planted direction", ORANGE),
    "average": ("average with the planted direction", BLUE),
    "likeness": ("average with the partial trace", GREEN),
}


@dataclasses.dataclass(frozen=True, repr=False)
class ChainRun(Result):
    r"""Chains with their averages, for every run and size.

    Attributes
    ----------
    method, model : str
    order, dim : int
    sizes : tuple of int (sizes,)
        Numbers of samples.
    times : Tensor (records, sizes)
        Elapsed, in times in which a direction is forgotten.
    last, average : Tensor (records, runs, sizes)
        Cosines of the last iterate and of the average with the planted direction; without sign for even
        orders. The average of an even order is the first eigenvector of that of
        :math:`\theta\theta^\top`.
    likeness : Tensor (records, runs, sizes)
        Cosine of the average with the partial trace, which it tends to where it is hot.
    partial_trace : Tensor (runs, sizes)
        Cosine of the partial trace with the planted direction.
    points, estimates : Tensor (runs, sizes, dim)
        The last iterates, and the directions of the averages.
    mean_length : Tensor (runs, sizes)
        Length of the average of the iterates themselves.
    averaging_time : float
        See :func:`averaging_time`.
    burn_in : int
        Steps that the averages leave out.
    steps : int
        Up to the last record, which the points and the gradients are of, too.
    gradients : Tensor (sizes,)
        Gradients of single samples in all of a chain; the tensor counts as one.
    settings : dict
    interrupted : bool
    """

    method: str
    model: str
    order: int
    dim: int
    sizes: tuple[int, ...]
    times: Tensor
    last: Tensor
    average: Tensor
    likeness: Tensor
    partial_trace: Tensor
    points: Tensor
    estimates: Tensor
    mean_length: Tensor
    averaging_time: float
    burn_in: int
    steps: int
    gradients: Tensor
    settings: dict[str, Any]
    interrupted: bool = False

    @property
    def exponents(self) -> np.ndarray:
        """Exponents p of the sizes: n is the p-th power of the dimension."""
        return np.log(self.sizes) / np.log(self.dim)

    def predicted_likeness(self) -> np.ndarray:
        """Cosine of average and partial trace by first order in β, odd orders: (records, sizes)."""
        left_out = self.burn_in * self.times[-1:] / self.steps
        share = (self.times - left_out).numpy() / self.averaging_time
        return np.sqrt(share / (1 + share))

    def frame(self) -> pd.DataFrame:
        """One row per size, at the end: means over the runs and their standard errors."""
        columns: dict[str, Any] = {"size": self.sizes, "exponent": self.exponents}
        parts = {name: getattr(self, name)[-1] for name in CURVES} | {"partial_trace": self.partial_trace}
        for name, values in parts.items():
            columns[name] = values.mean(0).numpy()
            columns[f"{name}_stderr"] = standard_error(values.numpy())
        columns["gradients"] = self.gradients.numpy()
        return pd.DataFrame(columns)

    def curve(self, name: str, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the runs (records,) of ``"last"``, ``"average"`` or ``"likeness"``, and its error."""
        check_choice("name", name, tuple(CURVES))
        values = getattr(self, name)[:, :, place].numpy().T
        return values.mean(0), standard_error(values)

    @property
    def middle(self) -> int:
        """Place of the middle size, which is shown where none is named."""
        return len(self.sizes) // 2

    def plot(self, ax: "Axes | None" = None, place: int | None = None) -> "Axes":
        """Cosines against time for one of the sizes, means over the runs with two standard errors."""
        from matplotlib.ticker import LogLocator, NullFormatter

        ax = new_axes(ax)
        place = self.middle if place is None else place
        time = self.times[:, place].numpy()
        for name, (label, color) in CURVES.items():
            mean, error = self.curve(name, place)
            ax.plot(time, mean, color=color, label=label)
            ax.fill_between(time, mean - 2 * error, mean + 2 * error, color=color, alpha=0.2, linewidth=0)
        if self.order % 2:
            ax.plot(
                time,
                self.predicted_likeness()[:, place],
                ":",
                color="0.3",
                label="the same, first order in β",
            )
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # or labels of minor ticks run into each other
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(-0.25, 1.05)
        ax.set_xlabel("time, in which a direction is forgotten")
        ax.set_ylabel("cosine")
        ax.set_title(self._describe(place), fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Cosines at the end for the middle size, and the cost."""
        row = self.frame().iloc[self.middle]
        parts = ", ".join(
            f"{label} {row[name]:.3f} ± {row[f'{name}_stderr']:.2g}" for name, (label, _) in CURVES.items()
        )
        note = ", INTERRUPTED" if self.interrupted else ""
        return (
            f"{self._describe(self.middle)}: {parts} (mean and standard error over {len(self.points)} runs)\n"
            f"{self.steps} steps, {self.times[-1, self.middle] / self.averaging_time:.2g} averaging times; "
            f"{int(self.gradients.max())} sample gradients a chain at most{note}"
        )

    def _describe(self, place: int) -> str:
        return (
            f"{self.method}, {self.model}, k = {self.order}, d = {self.dim}, "
            f"n = d^{self.exponents[place]:.2f} = {self.sizes[place]}"
        )
