"""``add_semicircle``: the spectrum of a matrix plus isotropic noise."""

import numpy as np

_ANGLES = np.linspace(0, np.pi, 25)  # points around each node of the clean spectrum, closer at the edges
_POINTS = 2000  # between all of them
_STEPS = 100  # of Newton at most; each doubles what is far from the root


def add_semicircle(values: np.ndarray, weights: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Free additive convolution of a discrete spectrum with a semicircle.

    The limit, for large matrices, of the spectrum of A + E, where A has the given one and E is a symmetric
    Gaussian matrix with entries of variance :math:`\rho^2/n`. With :math:`v(u)` the root of

    .. math:: \int \frac{d\mu(x)}{(u - x)^2 + v^2} = \frac1{\rho^2}

    (0 where the left side is smaller at v = 0), its density at
    :math:`u + \rho^2 \int \frac{(u - x)\, d\mu(x)}{(u - x)^2 + v(u)^2}` is :math:`v(u) / (\pi\rho^2)`. An
    outlier of vanishing weight moves by :math:`\rho^2/\lambda` from a bulk at zero, as in
    :func:`~.random_matrix.spiked`.

    Parameters
    ----------
    values, weights : ndarray (m,)
        Eigenvalues and their shares, which sum to 1.
    noise : float
        :math:`\rho`, root of the mean square of E v for unit vectors v.

    Returns
    -------
    values, weights : ndarray
        A finer discrete spectrum; as it was given without noise.

    Notes
    -----
    Source: Biane, "On the free convolution with a semi-circular distribution", 1997.
    """
    if noise <= 0:
        return values, weights
    around = values[:, None] + 1.1 * noise * np.sqrt(weights)[:, None] * np.cos(_ANGLES)
    between = np.linspace(values.min() - 1.1 * noise, values.max() + 1.1 * noise, _POINTS)
    u = np.unique(np.concatenate([around.ravel(), between]))
    difference = u[:, None] - values
    squares = difference**2
    height = _height(squares, weights, noise**2)
    kernel = weights / np.maximum(squares + height[:, None], np.finfo(float).tiny)
    places = u + noise**2 * (difference * kernel).sum(axis=1)
    density = np.sqrt(height) / (np.pi * noise**2)
    masses = (density[1:] + density[:-1]) / 2 * np.diff(places)
    return (places[1:] + places[:-1]) / 2, masses / masses.sum()


def _height(squares: np.ndarray, weights: np.ndarray, variance: float) -> np.ndarray:
    """Return v², by Newton's method from the left: the function is convex and falls, no step overshoots."""
    root = np.maximum((variance * weights - squares).max(axis=1), 0.0)
    inside = root > 0
    far = ~inside
    inside[far] = (weights / squares[far]).sum(axis=1) > 1 / variance
    root = root[inside]
    squares = squares[inside]
    for _ in range(_STEPS):
        terms = weights / (squares + root[:, None])
        slopes = (terms / (squares + root[:, None])).sum(axis=1)
        step = (terms.sum(axis=1) - 1 / variance) / slopes
        root = root + np.maximum(step, 0.0)
        if np.all(step <= 1e-10 * root):
            break
    height = np.zeros(len(inside))
    height[inside] = root
    return height
