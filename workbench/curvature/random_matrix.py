r"""What random matrix theory says of the Hessian of a batch, given that of all the data.

The model: a batch's Hessian is the full one plus noise, :math:`H_B = H + E`, where E is like a symmetric
Gaussian random matrix with entries of variance :math:`\rho^2 / n`. Its own spectrum is a semicircle of radius
:math:`2\rho`, and an eigenvalue of H stands out of it only if it is larger than :math:`\rho` in magnitude.

Source: Granziol, Zohren, Roberts, "Learning rates as a function of batch size: a random matrix theory
approach" (arXiv 2006.09092); the law is that of Capitaine, Donati-Martin and Féral (2009) for deformed Wigner
matrices.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from workbench.curvature.density import SpectralDensity


def spiked(eigenvalue: float, noise: float) -> float:
    r"""Eigenvalue of the noisy matrix that belongs to an outlier of the clean one.

    .. math:: \lambda' = \lambda + \rho^2/\lambda \quad (|\lambda| > \rho), \qquad
       \pm 2\rho \quad \text{otherwise, the edge of the noise}

    Parameters
    ----------
    eigenvalue : float
        :math:`\lambda`, an outlier of the full matrix.
    noise : float
        :math:`\rho`, root of the mean square of E v for unit vectors v.
    """
    if abs(eigenvalue) > noise:
        return eigenvalue + noise**2 / eigenvalue
    return math.copysign(2 * noise, eigenvalue)


def spiked_along(
    values: np.ndarray, within: np.ndarray, across: np.ndarray, scale: float = 1.0
) -> np.ndarray:
    r"""Eigenvalues of noisy matrices from their noise along the outliers' eigenvectors V alone.

    To second order, what the outliers and the rest do to each other adds to the block of the outliers, whose
    eigenvalues are then exact, however close they lie and however they mix and repel each other:

    .. math:: \operatorname{diag}(m) + V^\top E V + \tfrac12 (W M^{-1} + M^{-1} W), \qquad
       W = V^\top E\, (I - V V^\top)\, E V,\ M = \operatorname{diag}(m),\ m_j = \max(\lambda_j, \rho_j)

    with the rest of the spectrum at zero and :math:`\rho_j^2` the mean of :math:`W_{jj}`. For isotropic noise
    this is the law of :func:`spiked`, threshold and edge included.

    Parameters
    ----------
    values : ndarray (k,)
        Outliers :math:`\lambda_j` of the full matrix, positive.
    within, across : ndarray (b, k, k)
        :math:`V^\top E V` and W of b draws of the noise.
    scale : float
        Variance of the noise to predict for, in units of the one drawn.

    Returns
    -------
    ndarray (b, k)
        Eigenvalues for each draw, descending.

    Notes
    -----
    Source: Löwdin, "A note on the quantum-mechanical perturbation theory", 1951, in the symmetric form of
    Schrieffer and Wolff (1966).
    """
    noise = np.sqrt(scale * np.diagonal(across, axis1=1, axis2=2).mean(axis=0))
    inverse = 1 / np.maximum(values, noise)
    second = across * (inverse[:, None] + inverse) / 2
    block = np.diag(1 / inverse) + math.sqrt(scale) * within + scale * second
    return np.linalg.eigvalsh(block)[:, ::-1]


def batch_noise(per_example: float, batch_size: int, examples: int) -> float:
    r"""Noise :math:`\rho` of the mean over a batch drawn without replacement.

    Parameters
    ----------
    per_example : float
        Mean square :math:`S^2` of :math:`(H_i - H) v`, over single examples i of the population and unit v.
    batch_size, examples : int
        B of N: the variance of the mean is :math:`\frac{S^2}{B} \frac{N - B}{N - 1}`.
    """
    return math.sqrt(max(per_example, 0.0) / batch_size * (examples - batch_size) / max(examples - 1, 1))


def noise_per_example(mean_square: float, batch_size: int, examples: int) -> float:
    """Inverse of :func:`batch_noise`: S² from the mean square of (H_B − H) v at one batch size."""
    if batch_size >= examples:
        return 0.0
    return mean_square * batch_size * (examples - 1) / (examples - batch_size)


@dataclass(frozen=True)
class BulkFit:
    """A law of random matrices fitted to the bulk of a spectrum.

    Attributes
    ----------
    law : str
        ``"semicircle"`` or ``"marchenko-pastur"``.
    low, high : float
        Edges of its support.
    center, spread : float
        Mean and standard deviation of the bulk, which it shares.
    distance : float
        Largest difference between its distribution function and the bulk's (Kolmogorov–Smirnov).
    outside : float
        Share of the bulk outside of its support.
    """

    law: str
    low: float
    high: float
    center: float
    spread: float
    distance: float
    outside: float


def fit_bulk(density: SpectralDensity, law: str = "semicircle", edge: float | None = None) -> BulkFit:
    r"""Fit a law to the bulk by its mean and variance.

    Semicircle: radius :math:`2\sigma` around the mean. Marchenko–Pastur with ratio q:
    mean :math:`\mu`, variance :math:`q\mu^2`, support :math:`\mu(1 \pm \sqrt q)^2`; for matrices without
    negative eigenvalues, such as the GGN. With q > 1 a share 1 − 1/q of it lies at zero.

    Parameters
    ----------
    density : SpectralDensity
    law : {"semicircle", "marchenko-pastur"}
    edge : float, optional
        What is larger in magnitude is no bulk; by default nothing is left out but the density's atoms.

    Raises
    ------
    ValueError
        If the law is unknown, the bulk is empty, or its mean is not positive for Marchenko–Pastur.
    """
    nodes, weights = _bulk(density, edge)
    center = float(weights @ nodes)
    spread = math.sqrt(max(float(weights @ (nodes - center) ** 2), 0.0))
    if law == "semicircle":
        low, high = center - 2 * spread, center + 2 * spread
        distribution = partial(_semicircle, center=center, spread=spread)
    elif law == "marchenko-pastur":
        if center <= 0:
            raise ValueError(f"the bulk's mean is {center:.3g}: Marchenko–Pastur has a positive one")
        ratio = (spread / center) ** 2
        low, high = center * (1 - math.sqrt(ratio)) ** 2, center * (1 + math.sqrt(ratio)) ** 2
        distribution = partial(_marchenko_pastur, mean=center, ratio=ratio)
    else:
        raise ValueError(f"law={law!r} is not 'semicircle' or 'marchenko-pastur'")
    steps = np.cumsum(weights)
    before = distribution(np.nextafter(nodes, -np.inf))  # the law may jump, too
    distance = max(np.abs(steps - distribution(nodes)).max(), np.abs(steps - weights - before).max())
    outside = float(weights[(nodes < low) | (nodes > high)].sum())
    return BulkFit(law, low, high, center, spread, float(distance), outside)


def _bulk(density: SpectralDensity, edge: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, ascending, and weights that sum to 1, of all probes together."""
    nodes = np.concatenate(density.ritz_values)
    weights = np.concatenate(density.weights) / len(density.weights)
    known = np.isin(nodes, density.atoms)
    kept = ~known if edge is None else ~known & (np.abs(nodes) <= edge)
    if not weights[kept].sum() > 0:
        raise ValueError(f"no eigenvalue lies within edge={edge}: there is no bulk to fit")
    places = np.where(np.abs(nodes) <= 1e-6 * np.abs(nodes).max(), 0.0, nodes)  # exact zeros, up to rounding
    values, owners = np.unique(places[kept], return_inverse=True)
    return values, np.bincount(owners, weights[kept]) / weights[kept].sum()


def _semicircle(x: np.ndarray, center: float, spread: float) -> np.ndarray:
    if not spread:
        return (x >= center).astype(float)
    t = np.clip((x - center) / (2 * spread), -1, 1)
    return 0.5 + (t * np.sqrt(1 - t**2) + np.arcsin(t)) / np.pi


def _marchenko_pastur(x: np.ndarray, mean: float, ratio: float) -> np.ndarray:
    """Distribution function, by integrating the density over an angle, which tames its edges."""
    if not ratio:
        return (x >= mean).astype(float)
    root = math.sqrt(ratio)
    angles = np.linspace(0, np.pi, 4001)  # x = mean (1 + q + 2 √q cos(π − angle))
    values = mean * (1 + ratio - 2 * root * np.cos(angles))
    slopes = 2 * mean * np.sin(angles) ** 2 / (np.pi * np.maximum(values, 1e-300))
    steps = np.concatenate([[0.0], np.cumsum((slopes[1:] + slopes[:-1]) / 2 * np.diff(angles))])
    at_zero = max(0.0, 1 - 1 / ratio)
    inside = at_zero + (1 - at_zero) * np.interp(x, values, steps / steps[-1])
    return np.where(x < 0, 0.0, np.where(x < values[0], at_zero, inside))
