"""``Eigenpairs``: eigenvalues with a certificate each."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import Tensor

from workbench.colors import BLUE, VERMILION
from workbench.layout import group_by_layer
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class Eigenpairs(Result):
    """Some eigenpairs of a symmetric operator, the most wanted first.

    Attributes
    ----------
    values : Tensor (k,)
        Rayleigh quotients of the vectors, float64.
    vectors : Tensor (n, k)
        Unit vectors, as columns; the entry of largest magnitude is positive.
    residuals : Tensor (k,)
        ``||A y - value * y||``, recomputed at the end with one product each: within this distance of the
        value there is an eigenvalue. (After an interrupt: Lanczos' own estimate, which costs no product.)
    converged : Tensor (k,) of bool
        Whether the residual is at most ``max(tol * |value|, floor)``.
    which : str
        ``"LA"``, ``"SA"``, ``"LM"`` or ``"BE"``.
    tol, floor : float
        The tolerance asked for, and the residual below which products are rounding noise.
    matvecs : int
        Products used, those for the residuals included.
    method : str
        ``"lanczos"`` or ``"dense"``.
    asymmetry : float
        How far the operator is from its transpose, relative to its norm; about the rounding error if
        all is well.
    terms : str
        What the operator is made of, e.g. ``"loss"``.
    layout : tuple of (name, start, stop)
        Which parameter stands where in a vector; empty for an operator that does not know.
    interrupted : bool
        Whether the computation was stopped before it was done.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    converged: Tensor
    which: str
    tol: float
    floor: float
    matvecs: int
    method: str
    asymmetry: float
    terms: str
    layout: tuple[tuple[str, int, int], ...]
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per eigenpair."""
        return pd.DataFrame(
            {
                "index": range(1, len(self.values) + 1),
                "eigenvalue": self.values.numpy(),
                "residual": self.residuals.numpy(),
                "converged": self.converged.numpy(),
            }
        )

    @property
    def _layout(self) -> tuple[tuple[str, int, int], ...]:
        return self.layout or (("all", 0, self.vectors.shape[0]),)

    def layer_mass(self) -> pd.DataFrame:
        """Share of each parameter in the squared norm of each eigenvector; a vector's shares sum to 1.

        Returns
        -------
        DataFrame
            One row per vector and parameter: ``index`` (from 1), ``eigenvalue``, ``parameter``, ``share``.
        """
        squares = self.vectors.double().square()
        squares = squares / squares.sum(dim=0)
        rows = [
            {
                "index": i + 1,
                "eigenvalue": value,
                "parameter": name,
                "share": squares[start:stop, i].sum().item(),
            }
            for i, value in enumerate(self.values.tolist())
            for name, start, stop in self._layout
        ]
        return pd.DataFrame(rows)

    def layer_shares(self) -> pd.DataFrame:
        """Share of each layer in the squared norm of each eigenvector; every row sums to 1.

        Returns
        -------
        DataFrame
            One row per vector (``index``, from 1), one column per layer in the model's order: ``a.weight``
            and ``a.bias`` are of layer ``a``.
        """
        mass = self.layer_mass()
        layers = group_by_layer([name for name, _, _ in self._layout])
        layer = mass["parameter"].map({name: layer for layer, names in layers.items() for name in names})
        table = mass.assign(layer=layer).pivot_table(
            index="index", columns="layer", values="share", aggfunc="sum", sort=False
        )
        return table[list(layers)]

    def sine_bound(self, count: int) -> float:
        """Bound on the sine of the largest angle between the first ``count`` vectors' span and the true one.

        After Davis and Kahan, from the residuals and the gap to the next pair; 1, which says nothing, if
        there is no next pair or no gap.
        """
        if count >= len(self.values):
            return 1.0
        gap = (self.values[count - 1] - self.values[count] - self.residuals[count]).item()
        residual = self.residuals[:count].clamp(min=self.floor).norm().item()
        return min(residual / gap, 1.0) if gap > 0 else 1.0

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the eigenvalues with their residual norms; what did not converge is hollow and orange."""
        from matplotlib.ticker import MaxNLocator

        ax = new_axes(ax)
        frame = self.frame()
        ax.axhline(0, color="0.6", linewidth=0.8)
        for converged, color, face, label in (
            (True, BLUE, BLUE, "converged"),
            (False, VERMILION, "white", "NOT converged"),
        ):
            part = frame[frame["converged"] == converged]
            if part.empty:
                continue
            ax.vlines(part["index"], 0, part["eigenvalue"], color=color, alpha=0.4)
            ax.errorbar(
                part["index"],
                part["eigenvalue"],
                yerr=part["residual"],
                fmt="o" if converged else "X",
                color=color,
                markerfacecolor=face,
                capsize=3,
                label=f"{label}, ± residual norm",
            )
        ax.set_xlabel("index of the eigenpair")
        ax.set_ylabel(f"eigenvalue ({self.terms})")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(fontsize="small")
        return ax

    def plot_layer_mass(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the share of each parameter in each eigenvector as a heat map, from 0 (white) to 1."""
        ax = new_axes(ax)
        share = self.layer_mass().pivot_table(index="index", columns="parameter", values="share")
        share = share[[name for name, _, _ in self._layout]]  # in the model's order
        image = ax.imshow(share.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        ax.set_yticks(range(share.shape[1]), share.columns, fontsize="small")
        ax.set_xticks(range(len(share)), [str(i) for i in share.index])
        ax.set_xlabel("index of the eigenpair")
        ax.set_ylabel("parameter")
        ax.figure.colorbar(image, ax=ax, label="share of the squared norm")
        return ax

    def summary(self) -> str:
        """Extreme values, the worst residual, what did not converge, and the cost."""
        values, count = self.values, len(self.values)
        missed = count - int(self.converged.sum())
        state = "all converged" if not missed else f"{missed} of {count} NOT CONVERGED"
        if self.interrupted:
            state += ", interrupted"
        worst = float(np.max(self.residuals.numpy(), initial=0.0))
        return (
            f"{count} eigenpairs ({self.which}) from {values.max():.6g} to {values.min():.6g}, {state}\n"
            f"largest residual {worst:.1e} (tolerance {self.tol:.0e}·|λ|, floor {self.floor:.0e}), "
            f"{self.method}, {self.matvecs} products, of: {self.terms}"
        )
