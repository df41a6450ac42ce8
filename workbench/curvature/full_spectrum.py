"""``Spectrum``: outliers, bulk, edges and sums of one matrix, each with its error."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.colors import GREEN, VERMILION
from workbench.curvature.density import SpectralDensity
from workbench.curvature.outliers import most_outliers
from workbench.curvature.pairs import Eigenpairs
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class Spectrum(Result):
    """What a curvature matrix looks like; what an interrupt left out is None or empty.

    Attributes
    ----------
    top : Eigenpairs
        The largest eigenvalues, outliers first.
    outliers : int
        How many of them stand above the bulk: those above the lowest clear gap.
    smallest : Eigenpairs
        The one smallest eigenvalue: how negative the curvature gets.
    density : SpectralDensity
        Of all eigenvalues; those of ``top`` that converged early are exact atoms. Trace and Frobenius norm
        are its by-products.
    gauss_newton : Eigenpairs or None
        Largest eigenvalues of the Gauss-Newton matrix, if the matrix is a Hessian.
    angles : ndarray
        Principal angles in degrees, ascending, between the span of the outliers (of the first vector if there
        are none) and as many eigenvectors of the Gauss-Newton matrix.
    angles_bound : float
        How far, in degrees, each angle may be off by the residuals (Davis and Kahan 1970); 90 says nothing.
    layers : dict of str to Eigenpairs
        Largest eigenvalue of each layer's diagonal block, if asked for.
    size : int
        Number of eigenvalues.
    matvecs : int
        Products in all; those of a layer's block and of the Gauss-Newton matrix count like the others.
        ``top``, ``smallest`` and ``density`` share one run, whose products each of them states.
    terms : str
        What the operator is made of.
    interrupted : bool
        Whether something is missing or not done because the computation was stopped.
    """

    top: Eigenpairs
    outliers: int
    smallest: Eigenpairs
    density: SpectralDensity
    gauss_newton: Eigenpairs | None
    angles: np.ndarray
    angles_bound: float
    layers: dict[str, Eigenpairs]
    size: int
    matvecs: int
    terms: str
    interrupted: bool = False

    @property
    def bulk_edge(self) -> tuple[float, float]:
        """The largest eigenvalue that is no known outlier, and its residual norm."""
        return self.top.values[self.outliers].item(), self.top.residuals[self.outliers].item()

    def frame(self) -> pd.DataFrame:
        """One row per figure: ``quantity``, ``value``, ``error`` and what kind of error it is."""
        rows: list[tuple[str, float, float, str]] = []
        values, residuals = self.top.values.tolist(), self.top.residuals.tolist()
        for i in range(self.outliers):
            rows.append((f"outlier {i + 1}", values[i], residuals[i], "residual"))
        if self.outliers:
            rows.append(("bulk edge", *self.bulk_edge, "residual"))
        density = self.density
        rows += [
            ("smallest", *_first(self.smallest), "residual"),
            ("trace", density.trace, density.trace_stderr, "standard error"),
            ("Frobenius norm", density.frobenius, density.frobenius_stderr, "standard error"),
            ("share near zero", density.null_mass, density.null_stderr, "standard error"),
        ]
        for i, angle in enumerate(self.angles):
            rows.append((f"angle {i + 1} to Gauss-Newton (°)", float(angle), self.angles_bound, "bound"))
        for layer, pairs in self.layers.items():
            rows.append((f"largest of {layer}", *_first(pairs), "residual"))
        return pd.DataFrame(rows, columns=["quantity", "value", "error", "kind"])

    def layer_mass(self) -> pd.DataFrame:
        """Share of each layer in the squared norm of each outlier's eigenvector, one column per layer."""
        return self.top.layer_shares().iloc[: max(self.outliers, 1)]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the density, the outliers as points at the height of one eigenvalue, and the bulk's edge."""
        ax = self.density.plot(new_axes(ax))
        height = 10 * self.density.floor
        outliers = self.top.values[: self.outliers].numpy()
        if len(outliers):
            ax.plot(
                outliers,
                np.full(len(outliers), height),
                "v",
                color=VERMILION,
                label=f"{len(outliers)} outliers",
            )
            ax.axvline(self.bulk_edge[0], color=GREEN, linestyle="--", linewidth=1, label="edge of the bulk")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Outliers, edges, sums, overlap with the Gauss-Newton matrix, and the cost."""
        state = ", interrupted" if self.interrupted else ""
        lines = [f"{self.size} eigenvalues, {self._count()}{state}"]
        missed = len(self.top.values) - int(self.top.converged.sum())
        if missed:
            lines.append(f"{missed} of the {len(self.top.values)} largest eigenvalues NOT CONVERGED")
        value, residual = _first(self.smallest)
        lines.append(f"smallest eigenvalue {value:.4g} ± {residual:.1g}")
        density = self.density
        lines.append(
            f"trace {density.trace:.5g} ± {density.trace_stderr:.2g}, Frobenius norm "
            f"{density.frobenius:.5g} ± {density.frobenius_stderr:.2g}, near zero (|λ| ≤ "
            f"{density.null_threshold:.1e}): {100 * density.null_mass:.1f} ± "
            f"{100 * density.null_stderr:.1f} %"
        )
        if len(self.angles):
            lines.append(
                f"largest angle to the Gauss-Newton matrix's leading {len(self.angles)} vectors: "
                f"{self.angles[-1]:.1f}° ± {self.angles_bound:.1g}°"
            )
        return "\n".join([*lines, f"{self.matvecs} products, of: {self.terms}"])

    def _count(self) -> str:
        first = self.top.values[0].item()
        if not self.outliers:
            told = most_outliers(self.top)
            most = f"no wide gap among the {told + 1} largest" if told else "too few certain to tell outliers"
            return f"largest {first:.4g}, {most}"
        last, (edge, residual) = self.top.values[self.outliers - 1].item(), self.bulk_edge
        plural = "s" if self.outliers > 1 else ""
        return (
            f"{self.outliers} outlier{plural} from {first:.4g} to {last:.4g}; "
            f"edge of the bulk {edge:.4g} ± {residual:.1g}"
        )


def _first(pairs: Eigenpairs) -> tuple[float, float]:
    """The one value and its residual."""
    return pairs.values[0].item(), pairs.residuals[0].item()
