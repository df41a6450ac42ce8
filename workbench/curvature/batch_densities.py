"""``batch_densities``: spectra of batches beside that of all examples, and the law of isotropic noise."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, VERMILION
from workbench.curvature.density import SpectralDensity, broaden
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.free_convolution import add_semicircle
from workbench.curvature.quadrature import grid_around, spectral_density
from workbench.curvature.random_matrix import batch_noise
from workbench.curvature.subsampling import NOISE_BATCHES, NOISE_SIZE, check_sizes, measure_noise
from workbench.curvature.tracking import MATRICES
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KNOWN = 10  # of each matrix' largest eigenvalues are exact, and so is the noise along those of all examples
_FINER = 4  # eigenvalues of the law closer than this part of the width are one


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class BatchDensities(Result):
    r"""Spectral densities of all examples and of one batch of each of s sizes.

    Attributes
    ----------
    sizes : ndarray (s,)
        Batch sizes B, ascending; each batch holds the smaller ones.
    full : SpectralDensity
        Of the matrix of all examples.
    batches : tuple of SpectralDensity
        Of one random batch of each size.
    grid : ndarray (points,)
        Common to all densities below.
    width : float
        Standard deviation of the Gaussian that each eigenvalue is drawn as, in all of them.
    laws : ndarray (s, points)
        Density of the full spectrum with isotropic noise added: its free convolution with a semicircle of
        radius :math:`2\rho_B`.
    noise, noise_stderr : float
        Mean square :math:`S^2` of :math:`(H_i - H)v` over examples and random unit vectors.
    examples : int
        N.
    matrix : str
        ``"hessian"`` or ``"ggn"``.
    matvecs : float
        Products spent, each counted as the share of all examples that it took.
    interrupted : bool
        Whether sizes or probes are missing because the computation was stopped.
    """

    sizes: np.ndarray
    full: SpectralDensity
    batches: tuple[SpectralDensity, ...]
    grid: np.ndarray
    width: float
    laws: np.ndarray
    noise: float
    noise_stderr: float
    examples: int
    matrix: str
    matvecs: float
    interrupted: bool = False

    @property
    def edges(self) -> np.ndarray:
        r"""Radius :math:`2\rho_B` of the semicircle (s,)."""
        return np.array([2 * batch_noise(self.noise, int(size), self.examples) for size in self.sizes])

    @property
    def floor(self) -> float:
        """A tenth of the height at which one eigenvalue is drawn: below it there is nothing to see."""
        return self.full.floor

    def density(self, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Density on the grid and its standard error: of the batch of this size, by default of all examples.

        Raises
        ------
        ValueError
            If there is no such size.
        """
        shown = self.full if size is None else self.batches[self._index(size)]
        return shown.on(self.grid, self.width)

    def comparison(self) -> pd.DataFrame:
        """One row per batch, and one for all examples: where eigenvalues lie, and how far the law is off.

        ``outside`` is the share of its eigenvalues beyond the edge (nan without noise), ``distance`` the
        largest difference between its distribution function and that of the law, broadened alike.
        """
        step = self.grid[1] - self.grid[0]
        rows = []
        for size, spectrum, law, edge in zip(self.sizes, self.batches, self.laws, self.edges, strict=True):
            difference = spectrum.on(self.grid, self.width)[0] - law
            inside = np.diff(spectrum.cumulative(np.array([-edge, edge]))[0])[0]
            rows.append(
                _support(spectrum, size)
                | {
                    "edge": edge,
                    "outside": 1 - inside if edge else math.nan,
                    "distance": np.abs(np.cumsum(difference)).max() * step,
                }
            )
        if self.sizes[-1] < self.examples:
            rows.append(_support(self.full, self.examples) | {"edge": 0.0})
        return pd.DataFrame(rows)

    def frame(self) -> pd.DataFrame:
        """One row per size and point of the grid; N and no law for all examples."""
        parts = []
        for size, law in [*zip(self.sizes, self.laws, strict=True), (None, np.full(len(self.grid), np.nan))]:
            density, stderr = self.density(size)
            columns = {"eigenvalue": self.grid, "density": density, "stderr": stderr, "law": law}
            parts.append(pd.DataFrame({"batch_size": self.examples if size is None else size} | columns))
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: "Axes | None" = None, size: int | None = None) -> "Axes":
        """Draw one batch, by default the smallest, beside all examples and the law, on a log axis."""
        ax = new_axes(ax)
        size = int(self.sizes[0]) if size is None else size
        index = self._index(size)
        bottom = self.floor
        hidden = bottom / 10  # where there is nothing to see
        full, batch = (np.maximum(self.density(each)[0], hidden) for each in (None, size))
        ax.fill_between(
            self.grid, hidden, full, color="0.75", linewidth=0, label=f"all {self.examples} examples"
        )
        ax.plot(self.grid, batch, color=BLUE, linewidth=1, label=f"one batch of {size}")
        ax.plot(
            self.grid, np.maximum(self.laws[index], hidden),
            "--", color=VERMILION, linewidth=1.2, label="all examples + isotropic noise",
        )  # fmt: skip
        for edge in (-self.edges[index], self.edges[index]):
            ax.axvline(edge, color="0.4", linestyle=":", linewidth=0.8)
        ax.set_yscale("log")
        ax.set_ylim(bottom, 2 * max(full.max(), batch.max()))
        ax.set_xlabel(f"eigenvalue of the {self.matrix}")
        ax.set_ylabel(f"density (width {self.width:.2g})")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """How far isotropic noise is from what batches show."""
        lines = []
        for row in self.comparison().to_dict("records"):
            law = (
                f"{row['outside']:.2%} beyond the edge ±{row['edge']:.3g} of isotropic noise, whose "
                f"distribution function is up to {row['distance']:.2f} off"
                if row["edge"]
                else "without noise"
            )
            size = row["batch_size"]
            name = f"batch of {size}" if size < self.examples else f"all {size} examples"
            lines.append(f"{name}: eigenvalues from {row['smallest']:.4g} to {row['largest']:.4g}, {law}")
        note = ", interrupted" if self.interrupted else ""
        lines.append(
            f"noise of one example S² = {self.noise:.3g} ± {self.noise_stderr:.1g}; products worth "
            f"{self.matvecs:.0f} with all {self.examples} examples{note}"
        )
        return "\n".join(lines)

    def _index(self, size: int) -> int:
        if size not in self.sizes:
            raise ValueError(f"there is no batch of {size}: there are {', '.join(map(str, self.sizes))}")
        return int(np.searchsorted(self.sizes, size))


def _support(spectrum: SpectralDensity, size: int) -> dict[str, float]:
    return {
        "batch_size": size,
        "smallest": spectrum.support[0],
        "largest": spectrum.support[1],
        "null_mass": spectrum.null_mass,
    }


def batch_densities(
    problem: Problem,
    sizes: Sequence[int] = (8, 32, 128, 512),
    *,
    matrix: str = "hessian",
    probes: int = 4,
    steps: int = 60,
    seed: int = 0,
) -> BatchDensities:
    r"""Estimate the spectral density of all examples' matrix and of one random batch's of each size.

    Parameters
    ----------
    problem : Problem
        All examples.
    sizes : sequence of int
        Batch sizes; those larger than the number of examples are refused.
    matrix : {"hessian", "ggn"}
    probes, steps : int
        Random vectors behind each density and behind the noise, and Lanczos steps.
    seed : int
        Of batches and vectors.

    Returns
    -------
    BatchDensities
        An interrupt (Ctrl-C) returns the sizes that are done.

    Raises
    ------
    ValueError
        If an option is out of range, or examples cannot be taken out of their batches.
    """
    check_choice("matrix", matrix, tuple(MATRICES))
    check_count("probes", probes, 2)
    examples = problem.num_examples
    sizes = check_sizes(sizes, examples)
    source = generator(seed)
    operator = MATRICES[matrix](problem)
    known = min(KNOWN, problem.num_parameters // 2)
    top = eigenpairs(operator, known, "LM", seed=seed)
    if top.interrupted:
        raise KeyboardInterrupt
    full = spectral_density(operator, probes, steps, deflate=top, seed=seed)
    noise = measure_noise(
        problem, operator, matrix, top.vectors,
        probes=probes, size=NOISE_SIZE, batches=NOISE_BATCHES, source=source,
    )  # fmt: skip
    order = torch.randperm(examples, generator=source)
    parts = [problem.subset(order[:size].sort().values) for size in sizes]
    spectra, interrupted = _spectra(parts, matrix, known, full.width, probes, steps, seed)
    sizes = sizes[: len(spectra)]
    per_example, stderr = noise.per_example
    rhos = [batch_noise(per_example, size, examples) for size in sizes]
    grid = _grid([full, *spectra], 2 * rhos[0])
    shares = [each.matvecs * size / examples for each, size in zip(spectra, sizes, strict=True)]
    return BatchDensities(
        sizes=np.array(sizes),
        full=full,
        batches=tuple(spectra),
        grid=grid,
        width=full.width,
        laws=np.array([_law(full, rho, grid) for rho in rhos]),
        noise=per_example,
        noise_stderr=stderr,
        examples=examples,
        matrix=matrix,
        matvecs=operator.matvecs + noise.matvecs + sum(shares),
        interrupted=interrupted or full.interrupted,
    )


def _spectra(
    parts: Sequence[Problem], matrix: str, known: int, width: float, probes: int, steps: int, seed: int
) -> tuple[list[SpectralDensity], bool]:
    """Return the density of each batch, and whether some are missing or cut short."""
    spectra: list[SpectralDensity] = []
    with progress("densities of batches", len(parts)) as advance:
        try:
            for part in parts:
                operator = MATRICES[matrix](part, check=False)
                spectra.append(
                    spectral_density(operator, probes, steps, width=width, deflate=known, seed=seed)
                )
                if spectra[-1].interrupted:
                    return spectra, True
                advance(1)
        except KeyboardInterrupt:
            if not spectra:
                raise
            return spectra, True
    return spectra, False


def _grid(spectra: Sequence[SpectralDensity], edge: float) -> np.ndarray:
    lows, highs = zip(*(each.support for each in spectra), strict=True)
    return grid_around(min(-edge, *lows), max(edge, *highs), spectra[0].width)


def _law(full: SpectralDensity, noise: float, grid: np.ndarray) -> np.ndarray:
    """Density on the grid of the full spectrum with noise; of its eigenvalues, near ones count as one."""
    values, weights = np.concatenate(full.ritz_values), np.concatenate(full.weights) / len(full.weights)
    places = np.round(values * _FINER / full.width)
    _, owners = np.unique(places, return_inverse=True)
    merged = np.bincount(owners, weights)
    values = np.bincount(owners, weights * values) / merged
    return broaden(grid, *add_semicircle(values, merged, noise), full.width)
