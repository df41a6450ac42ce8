"""``predict_rates``: what the noise of batches' curvature says of the largest learning rates."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.choices import check_choice, check_number
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.curvature import BatchSpectra, batch_spectra
from workbench.minibatches import fitting_size, minibatches
from workbench.moment import Reading
from workbench.noise_scales import noise_scale
from workbench.problem import Problem
from workbench.result import Result, new_axes
from workbench.stability.batch_size.rate_laws import adaptive_share, minimal_damping, sgd_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CURVATURES = ("measured", "along", "single", "isotropic")
_GRADIENT_SIZE, _GRADIENT_BATCHES = 16, 40  # that the noise of gradients is measured from


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class PredictedRates(Result):
    r"""Largest learning rates over s batch sizes, as the spectra of batches have them.

    Attributes
    ----------
    spectra : BatchSpectra
        Eigenvalues of batches, measured and predicted, with their noise and its errors.
    momentum : float
        :math:`\mu` of heavy ball.
    newton_rate : float
        :math:`\eta` of the second-order steps that the damping is for.
    gradient_scale, gradient_scale_stderr : float
        Batch size at which noise and signal of the gradient are alike, tr Σ/\|G\|²: what a method feels that
        divides by the gradient's scale. inf where no signal stands out of the noise.
    gradients : float
        Gradients over all the data that this scale took.
    """

    spectra: BatchSpectra
    momentum: float
    newton_rate: float
    gradient_scale: float
    gradient_scale_stderr: float
    gradients: float

    @property
    def sizes(self) -> np.ndarray:
        """Batch sizes (s,), ascending."""
        return self.spectra.sizes

    @property
    def interrupted(self) -> bool:
        """Whether sizes are missing."""
        return self.spectra.interrupted

    def sgd(self, curvature: str = "along") -> tuple[np.ndarray, np.ndarray]:
        r"""Return :math:`2/\lambda_1(B)` (s,) and its standard error.

        ``curvature`` is ``"along"`` (predicted from the noise along the eigenvectors), ``"single"`` (the same
        of the first alone), ``"isotropic"`` or ``"measured"``.
        """
        values, errors = self.largest(curvature)
        return sgd_rate(values), 2 * errors / values**2

    def largest(self, curvature: str = "along") -> tuple[np.ndarray, np.ndarray]:
        r""":math:`\lambda_1(B)` (s,) in one of these four ways, and its standard error."""
        check_choice("curvature", curvature, CURVATURES)
        spectra, first = self.spectra, self.spectra.full[0]
        if curvature == "single":
            share = spectra.thresholds[:, 0] ** 2
            return first + share / first, share / first * self._relative_error
        if curvature == "isotropic":
            values = spectra.isotropic[:, 0]
            # Of ρ²/λ above the threshold, of the edge 2ρ below it, where half of that is less.
            moved = np.minimum(values - first, values / 2)
            return values, moved * spectra.noise_stderr / max(spectra.noise, 1e-300)
        errors = {"along": spectra.along_stderr, "measured": spectra.measured_stderr}[curvature]
        return getattr(spectra, curvature)[:, 0], errors[:, 0]

    def heavy_ball(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Return :math:`2 (1 + \mu)/\lambda_1(B)` (s,) and its standard error."""
        values, errors = self.sgd()
        return (1 + self.momentum) * values, (1 + self.momentum) * errors

    def adaptive(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates of an adaptive method (s,) as shares of that without noise, and the standard error."""
        first, noise = self.spectra.full[0], self.spectra.thresholds[:, 0]
        share = adaptive_share(first, noise)
        return share, share * (1 - share**2) / 2 * self._relative_error

    def damping(self) -> np.ndarray:
        """Return the least damping (s,) of second-order steps over the eigenvalues that were followed."""
        return np.asarray(minimal_damping(self.spectra.full, self.spectra.along, self.newton_rate))

    @property
    def critical_size(self) -> tuple[float, float]:
        r"""Batch size :math:`S_1^2/\lambda_1^2` at which noise equals curvature, and its standard error.

        Well above it rates are saturated. Well below, the eigenvalue has drowned, and :math:`2/\lambda_1(B)`
        grows as the root of B: its log-log slope is at most 1/2. Linear is the limit that is set by the mean
        square along one direction (``"single"``), which has no threshold.
        """
        spectra = self.spectra
        value = float(spectra.noise_along[0] / spectra.full[0] ** 2)
        return value, value * self._relative_error

    @property
    def _relative_error(self) -> float:
        """Of the mean square of the noise along the first eigenvector."""
        spectra = self.spectra
        return float(spectra.noise_along_stderr[0] / max(spectra.noise_along[0], 1e-300))

    def slope(self, low: float, high: float, method: str = "sgd", curvature: str = "along") -> float:
        """Log-log slope of predicted rates over the batch sizes from ``low`` to ``high``; nan of one."""
        check_choice("method", method, ("sgd", "adam"))
        rates = self.adaptive()[0] if method == "adam" else self.sgd(curvature)[0]
        kept = (self.sizes >= low) & (self.sizes <= high)
        if kept.sum() < 2:
            return float("nan")
        return float(np.polyfit(np.log(self.sizes[kept]), np.log(rates[kept]), 1)[0])

    def errors(self) -> pd.DataFrame:
        """One row per size: predicted largest eigenvalues over the measured one, minus 1."""
        measured, stderr = self.largest("measured")
        table = {"batch_size": self.sizes, "measured": measured, "measured_stderr": stderr}
        for name in CURVATURES[1:]:
            table[name] = self.largest(name)[0] / measured - 1
        return pd.DataFrame(table)

    def frame(self) -> pd.DataFrame:
        """One row per batch size: rates with their standard errors, and the damping."""
        table = {"batch_size": self.sizes}
        for name in CURVATURES:
            table[f"sgd_{name}"], table[f"sgd_{name}_stderr"] = self.sgd(name)
        table["momentum"], table["momentum_stderr"] = self.heavy_ball()
        table["adaptive_share"], table["adaptive_share_stderr"] = self.adaptive()
        table["damping"] = self.damping()
        return pd.DataFrame(table)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the largest rates of SGD over the batch size, and the share of an adaptive method."""
        ax = new_axes(ax)
        drawn = (
            ("measured", BLUE, "o", "2/λ₁ of batches, ± 2 stderr"),
            ("along", GREEN, "-", "noise along the eigenvectors"),
            ("single", GREEN, "--", "along the first alone"),
            ("isotropic", VERMILION, ":", "isotropic noise"),
        )
        for name, color, style, label in drawn:
            values, errors = self.sgd(name)
            if name == "measured":
                ax.errorbar(self.sizes, values, 2 * errors, fmt=style, color=color, label=label, capsize=2)
                continue
            ax.plot(self.sizes, values, style, color=color, label=label)
            ax.fill_between(
                self.sizes, values - 2 * errors, values + 2 * errors, color=color, alpha=0.15, linewidth=0
            )
        top = sgd_rate(self.spectra.full[0])
        ax.plot(self.sizes, top * self.adaptive()[0], "-.", color=ORANGE, label="adaptive, scaled to 2/λ₁")
        ax.axhline(float(top), color="0.6", linewidth=1)
        ax.axvline(self.critical_size[0], color="0.6", linewidth=1, linestyle=":")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("batch size (examples); dotted: noise = curvature")
        ax.set_ylabel("largest learning rate of SGD")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Where the laws saturate, what is predicted at both ends, how far it is off, and the cost."""
        if not len(self.sizes):
            return "nothing was measured"
        size, error = self.critical_size
        rates, errors = self.sgd()
        off = self.errors()
        told = ", ".join(f"{name} {abs(off[name]).max():.0%}" for name in CURVATURES[1:])
        ends = f"{rates[0]:.3g} ± {errors[0]:.1g} (B = {self.sizes[0]}) to {rates[-1]:.3g} ± {errors[-1]:.1g}"
        gradient = f"the gradient at B = {self.gradient_scale:.3g} ± {self.gradient_scale_stderr:.2g}"
        if not np.isfinite(self.gradient_scale):
            gradient = "the gradient at no B measured"
        note = ", INTERRUPTED" if self.interrupted else ""
        return (
            f"noise equals curvature at B = {size:.3g} ± {error:.2g}, and {gradient}: rates saturate above\n"
            f"largest rate of SGD {ends} (B = {self.sizes[-1]}), without noise "
            f"{float(sgd_rate(self.spectra.full[0])):.3g}\n"
            f"largest error of predicted λ₁(B): {told}\n"
            f"products worth {self.spectra.matvecs:.0f} with all examples and "
            f"{self.gradients:.1f} gradients over them{note}"
        )


def predict_rates(
    problem: Problem,
    sizes: Sequence[int] = SIZES,
    k: int = 5,
    *,
    momentum: float = 0.9,
    newton_rate: float = 1.0,
    matrix: str = "hessian",
    batches: int = 10,
    probes: int = 4,
    seed: int = 0,
) -> PredictedRates:
    r"""Predict the largest learning rates over the batch size from the noise of batches' curvature.

    Parameters
    ----------
    problem : Problem
        All examples.
    sizes : sequence of int
        Batch sizes.
    k : int
        Eigenvalues that are followed: the damping is for the worst of them.
    momentum : float
        Of heavy ball.
    newton_rate : float
        Of the second-order steps that the damping is for.
    matrix, batches, probes, seed
        As in :func:`~workbench.curvature.batch_spectra`, which measures the eigenvalues and their noise.

    Returns
    -------
    PredictedRates
        An interrupt (Ctrl-C) returns the sizes that are done.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range, or as :func:`~workbench.curvature.batch_spectra` does.

    Notes
    -----
    Cost: that of :func:`~workbench.curvature.batch_spectra`, and a few gradients; the summary counts both.
    Source: Granziol, Zohren, Roberts, arXiv 2006.09092; see :mod:`~.rate_laws` for what is derived here.
    """
    check_number("momentum", momentum, low=0, below=1)
    check_number("newton_rate", newton_rate, above=0, below=float("inf"))
    scale, gradients = _gradient_scale(problem, seed)  # first: an interrupt later on loses no spectra
    spectra = batch_spectra(problem, sizes, k, matrix=matrix, batches=batches, probes=probes, seed=seed)
    return PredictedRates(spectra, float(momentum), float(newton_rate), scale.value, scale.error, gradients)


def _gradient_scale(problem: Problem, seed: int) -> tuple[Reading, float]:
    """The noise scale of the gradient, as :class:`~..quantities.GradientNoiseScale` has it, and its cost."""
    size = fitting_size(problem, _GRADIENT_SIZE)
    whole = problem.gradient().double()
    drawn = minibatches(problem, size, _GRADIENT_BATCHES, seed)
    found = [problem.batch_gradient(problem.parameters(), batch).double() for batch in drawn]
    distances = np.array([(each - whole).square().sum().item() for each in found])
    scale = noise_scale(distances, whole.square().sum().item(), size, problem.num_examples)[""]
    return scale, 1 + len(found) * size / problem.num_examples
