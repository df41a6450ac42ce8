"""``class_outliers``: the outliers of a classifier's Gauss-Newton matrix held against its classes."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature.class_structure import ClassStructure, class_structure
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.matrices import ggn
from workbench.curvature.outliers import outliers_of
from workbench.curvature.pairs import Eigenpairs
from workbench.problem import Problem
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MORE = 10  # eigenvalues beyond the number of classes, among which the bulk begins


@dataclasses.dataclass(frozen=True, repr=False)
class ClassOutliers(Result):
    """The top of the Gauss-Newton matrix beside what the means over its C classes explain.

    Attributes
    ----------
    structure : ClassStructure
        The class means.
    top : Eigenpairs
        Largest eigenvalues of the matrix, more than C.
    rest : Eigenpairs
        Largest eigenvalues of what is left when the class means' part is taken away, at most C.
    outliers : int
        How many of ``top`` stand above the bulk, by the lowest clear gap.
    cosines : ndarray
        Cosines of the principal angles between the span of the class means and that of the first C
        eigenvectors, descending.
    cosines_error : float
        Bound on the error of each cosine by the residuals; 1 says nothing.
    """

    structure: ClassStructure
    top: Eigenpairs
    rest: Eigenpairs
    outliers: int
    cosines: np.ndarray
    cosines_error: float

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return self.structure.classes

    def frame(self) -> pd.DataFrame:
        """One row per rank: eigenvalues with their residuals, the class means' values, and the cosines."""
        columns = {
            "eigenvalue": self.top.values.numpy(),
            "residual": self.top.residuals.numpy(),
            "class_value": self.structure.class_values.numpy(),
            "rest": self.rest.values.numpy(),
            "rest_residual": self.rest.residuals.numpy(),
            "cosine": self.cosines,
        }
        table = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
        table.insert(0, "rank", range(1, len(table) + 1))
        table.insert(1, "outlier", table["rank"] <= self.outliers)
        return table

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the eigenvalues by rank, those of the class means, and those of what these leave."""
        from matplotlib.ticker import MaxNLocator

        ax = new_axes(ax)
        for label, values, color, marker in (
            ("Gauss–Newton matrix", self.top.values, BLUE, "o"),
            ("class means alone", self.structure.class_values, VERMILION, "^"),
            ("without the class means", self.rest.values, GREEN, "x"),
        ):
            kept = values[values > values.max() * 1e-6]
            ax.plot(np.arange(1, len(kept) + 1), kept, marker, color=color, label=label)
        ax.axvline(self.classes + 0.5, color="0.6", linewidth=0.8, linestyle=":")
        ax.set_yscale("log")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("rank (dotted: number of classes)")
        ax.set_ylabel("eigenvalue")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def plot_cosines(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the cosines between the class means' span and the first eigenvectors', with their bound."""
        ax = new_axes(ax)
        ranks = np.arange(1, len(self.cosines) + 1)
        low = np.minimum(self.cosines_error, self.cosines)
        high = np.minimum(self.cosines_error, 1 - self.cosines)
        ax.bar(ranks, self.cosines, yerr=[low, high], color=BLUE, capsize=3)
        ax.set_ylim(0, 1.05)
        ax.set_xlabel("principal angle")
        ax.set_ylabel("cosine: class means to eigenvectors")
        return ax

    def summary(self) -> str:
        """Outliers and classes, what the means explain of the largest, the angles, and the cost."""
        value, of_means, rest = (
            float(values[0]) for values in (self.top.values, self.structure.class_values, self.rest.values)
        )
        near = int((self.cosines > 0.9).sum())
        lines = [
            f"{self.outliers} outliers above the bulk, {self.classes} classes",
            f"largest eigenvalue {value:.4g} ± {self.top.residuals[0]:.1g}; of the class means alone "
            f"{of_means:.4g}; without them {rest:.4g} ± {self.rest.residuals[0]:.1g}",
            f"{near} of {len(self.cosines)} principal angles between class means and eigenvectors have a "
            f"cosine above 0.9 (each ± {self.cosines_error:.1g})",
        ]
        missed = sum(int((~pairs.converged).sum()) for pairs in (self.top, self.rest))
        if missed:
            lines.append(f"{missed} eigenvalues NOT CONVERGED")
        products, gradients = self.top.matvecs + self.rest.matvecs, self.structure.passes
        lines.append(f"{products} products, about {gradients:.1f} gradients, of: {self.top.terms}")
        return "\n".join(lines)


def class_outliers(problem: Problem, *, tol: float = 1e-3, seed: int = 0) -> ClassOutliers:
    """Hold the outliers of a classifier's Gauss-Newton matrix against the means over its classes.

    Parameters
    ----------
    problem : Problem
        With the cross entropy of class indices, and one row of logits per example (see :func:`has_classes`).
    tol : float
        Relative residual of each eigenvalue.
    seed : int
        Of the start vectors.

    Returns
    -------
    ClassOutliers

    Raises
    ------
    ValueError
        For other losses or outputs (see :func:`class_structure`).
    KeyboardInterrupt
        If it was interrupted: half of the comparison is none.

    Notes
    -----
    Cost: 1.5 gradients for the means, some 3 products for each of C + 10 eigenvalues of the matrix, and for
    each of C of what the means leave.
    """
    structure = class_structure(problem)
    matrix = ggn(problem)
    n, classes = problem.num_parameters, structure.classes
    top = _whole(eigenpairs(matrix, min(classes + _MORE, n), tol=tol, seed=seed))
    without = matrix - structure.operator()
    rest = _whole(eigenpairs(without, min(classes, n), tol=tol, seed=seed))
    count = min(classes, n)
    leading = top.replace(vectors=top.vectors[:, :count])
    return ClassOutliers(
        structure=structure,
        top=top,
        rest=rest,
        outliers=outliers_of(top),
        cosines=structure.cosines(leading).numpy(),
        cosines_error=top.sine_bound(count),
    )


def _whole(pairs: Eigenpairs) -> Eigenpairs:
    if pairs.interrupted:
        raise KeyboardInterrupt
    return pairs
