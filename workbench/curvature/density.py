"""``SpectralDensity``: where the eigenvalues lie, with a standard error."""

import dataclasses
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.colors import BLUE
from workbench.curvature.lanczos import ROUNDINGS, Lanczos
from workbench.result import Estimate, Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class SpectralDensity(Result):
    r"""Density of the eigenvalues of a symmetric n × n operator, by stochastic Lanczos quadrature.

    :math:`\phi(t) = \frac1n \sum_i g_\sigma(t - \lambda_i)` with a Gaussian g of width :math:`\sigma`,
    estimated as the mean over probes of :math:`\sum_j w_j\, g_\sigma(t - \theta_j)`.

    Attributes
    ----------
    grid : ndarray (points,)
        Where the density is given.
    density, stderr : ndarray (points,)
        Mean over the probes, integrating to 1, and its standard error (nan for one probe).
    width : float
        Standard deviation σ of the Gaussian that each eigenvalue is drawn as.
    ritz_values, weights : tuple of ndarray
        Nodes and weights of each probe's quadrature, atoms included; the weights of a probe sum to 1.
    size : int
        Number of eigenvalues n.
    steps : int
        Lanczos steps of each probe: its quadrature is exact for polynomials up to degree 2·steps − 1.
    null_mass, null_stderr, null_threshold : float
        Share of the eigenvalues with ``|λ| <= null_threshold`` (a thousandth of the largest magnitude).
    trace, trace_stderr : float
        Sum of the eigenvalues.
    frobenius, frobenius_stderr : float
        Frobenius norm, the root of the sum of their squares.
    matvecs : int
        Products used, those of the search for atoms included if it was made here.
    terms : str
        What the operator is made of.
    asymmetry : float
        How far the operator is from its transpose, relative to its norm.
    atoms : ndarray (m,)
        Eigenvalues that were known beforehand, ascending: each has weight 1/n exactly.
    interrupted : bool
        Whether there are fewer probes or steps than asked for because the computation was stopped.
    precision : float
        Relative rounding error of the products.
    exact : tuple of bool
        For each probe whether it met an invariant subspace, so that its quadrature has no error.
    """

    grid: np.ndarray
    density: np.ndarray
    stderr: np.ndarray
    width: float
    ritz_values: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    size: int
    steps: int
    null_mass: float
    null_stderr: float
    null_threshold: float
    trace: float
    trace_stderr: float
    frobenius: float
    frobenius_stderr: float
    matvecs: int
    terms: str
    asymmetry: float
    atoms: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    interrupted: bool = False
    precision: float = 0.0
    exact: tuple[bool, ...] = ()

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest Ritz value of all probes; the spectrum may reach a little further."""
        return (
            min(float(values.min()) for values in self.ritz_values),
            max(float(values.max()) for values in self.ritz_values),
        )

    @property
    def floor(self) -> float:
        """A tenth of the height at which one eigenvalue is drawn: below it there is nothing to see."""
        return self._single / 10

    @property
    def _single(self) -> float:
        return 1 / (self.size * self.width * math.sqrt(2 * math.pi))

    def cumulative(self, at: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Share of the eigenvalues at or below ``at``, unbroadened: mean over probes and stderr."""
        at = np.asarray(at, dtype=float)
        shares = [
            np.concatenate([[0.0], np.cumsum(weights)])[np.searchsorted(values, at, side="right")]
            for values, weights in zip(self.ritz_values, self.weights, strict=True)
        ]
        return np.mean(shares, axis=0), standard_error(np.asarray(shares))

    def on(self, grid: np.ndarray, width: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Density at other points or with another width: mean over probes and stderr."""
        rules = zip(self.ritz_values, self.weights, strict=True)
        densities = np.array([broaden(grid, *rule, width or self.width) for rule in rules])
        return densities.mean(axis=0), standard_error(densities)

    def log_determinant(self, damping: float) -> Estimate:
        """Estimate log det(A + damping·I) from the nodes and weights that are here, without a product.

        See :func:`~.determinants.log_determinant`.

        Raises
        ------
        ValueError
            If damping is negative, or a Ritz value shows that the damped matrix is not positive definite
            beyond rounding.
        """
        check_damping(damping)
        low, high = self.support
        largest = max(abs(low), abs(high))
        needed = ROUNDINGS * self.precision * largest - low
        if damping <= needed:
            raise ValueError(
                f"the matrix is not positive definite with damping={damping:g}: a Ritz value is {low:.4g}, "
                f"so damping must exceed {needed:.4g} (the smallest eigenvalue may lie lower still)"
            )
        rules = list(zip(self.ritz_values, self.weights, strict=True))
        means = np.array([weights @ np.log(values + damping) for values, weights in rules])
        before = 3 * self.steps // 4 + len(self.atoms)
        changes = [
            0.0 if exact else _log_mean_before(*rule, damping, max(before, 1)) - mean
            for rule, mean, exact in zip(rules, means, self.exact, strict=True)
        ]
        samples = self.size * means
        value, stderr = float(samples.mean()), float(standard_error(samples))
        moved = self.size * abs(float(np.mean(changes)))
        settled = moved <= max(stderr, 1e-9 * float(np.abs(samples).max()))  # also where stderr is nan or 0
        if not settled:
            warnings.warn(
                f"the last quarter of the Lanczos steps moved the log-determinant by {moved:.2g}, more than "
                f"its standard error of {stderr:.2g}: raise steps or damping",
                RuntimeWarning,
                stacklevel=2,
            )
        return Estimate(
            name="log-determinant",
            value=value,
            stderr=stderr,
            samples=tuple(samples.tolist()),
            matvecs=self.matvecs,
            converged=settled and not self.interrupted,
            terms=f"{self.terms} + {damping:g}·I",
            method="Lanczos quadrature",
        )

    def frame(self) -> pd.DataFrame:
        """One row per point of the grid."""
        cumulative, cumulative_stderr = self.cumulative(self.grid)
        return pd.DataFrame(
            {
                "eigenvalue": self.grid,
                "density": self.density,
                "stderr": self.stderr,
                "cumulative": cumulative,
                "cumulative_stderr": cumulative_stderr,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the density on a log axis with a band of two standard errors.

        A dotted line shows the height of one eigenvalue; the axis ends a factor of ten below it.
        """
        ax = new_axes(ax)
        bottom = self.floor
        visible = np.where(self.density > bottom, self.density, np.nan)
        ax.plot(self.grid, visible, color=BLUE, label="density")
        if np.isfinite(self.stderr).all():
            low = np.maximum(self.density - 2 * self.stderr, bottom)
            high = np.maximum(self.density + 2 * self.stderr, bottom)
            ax.fill_between(self.grid, low, high, color=BLUE, alpha=0.25, linewidth=0, label="± 2 stderr")
        ax.axhline(self._single, color="0.4", linestyle=":", linewidth=1, label="one eigenvalue")
        ax.set_yscale("log")
        ax.set_ylim(bottom, 2 * float(self.density.max()))
        ax.set_xlabel(f"eigenvalue ({self.terms})")
        ax.set_ylabel(f"density (width {self.width:.2g})")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def plot_cumulative(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the share of eigenvalues at or below each value, with a band of two standard errors."""
        ax = new_axes(ax)
        nodes = np.unique(np.concatenate([self.grid, *self.ritz_values]))
        share, stderr = self.cumulative(nodes)
        ax.step(nodes, share, where="post", color=BLUE, label="share at or below")
        if np.isfinite(stderr).all():
            low, high = share - 2 * stderr, share + 2 * stderr
            ax.fill_between(
                nodes, low, high, step="post", color=BLUE, alpha=0.25, linewidth=0, label="± 2 stderr"
            )
        ax.set_xlabel(f"eigenvalue ({self.terms})")
        ax.set_ylabel("share of the eigenvalues")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Support, near-null mass, trace and Frobenius norm, and the cost."""
        low, high = self.support
        note = f" beside {len(self.atoms)} known eigenvalues" if len(self.atoms) else ""
        note += ", interrupted" if self.interrupted else ""
        return (
            f"{self.size} eigenvalues from {low:.4g} to {high:.4g} "
            f"({len(self.weights)} probes × {self.steps} steps{note})\n"
            f"near zero (|λ| ≤ {self.null_threshold:.1e}): {100 * self.null_mass:.1f} ± "
            f"{100 * self.null_stderr:.1f} % of them\n"
            f"trace {self.trace:.5g} ± {self.trace_stderr:.2g}, Frobenius norm {self.frobenius:.5g} ± "
            f"{self.frobenius_stderr:.2g}, {self.matvecs} products, of: {self.terms}"
        )


def broaden(grid: np.ndarray, values: np.ndarray, weights: np.ndarray, width: float) -> np.ndarray:
    """Sum of Gaussians of this standard deviation around values, with their weights, on a grid."""
    distance = (grid[:, None] - values[None, :]) / width
    return np.exp(-0.5 * distance**2) @ weights / (width * math.sqrt(2 * math.pi))


def check_damping(damping: float) -> None:
    """Refuse a damping that is not a number of at least 0.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not 0 <= damping < math.inf:
        raise ValueError(f"damping={damping} is out of range: it must be at least 0")


def _log_mean_before(values: np.ndarray, weights: np.ndarray, damping: float, steps: int) -> float:
    """Return the mean logarithm by the rule of fewer steps.

    Lanczos on the nodes, started with the roots of the weights, repeats the process that found them.
    """
    steps = min(steps, len(values))
    nodes = torch.from_numpy(values)
    process = Lanczos(torch.from_numpy(weights).sqrt(), steps, torch.finfo(torch.float64).eps)
    for _ in range(steps):
        process.absorb(nodes * process.newest)
        if process.closed:
            break
    earlier, coordinates, _ = process.ritz()
    return float(coordinates[0] ** 2 @ np.log(earlier + damping))
