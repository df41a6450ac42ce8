"""``noise_gap``: bits that training sees with uniform noise, beside those of rounded numbers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.kernels.generalized_gaussians import generalized_gaussian_bits
from workbench.layers.scale_bounds import BOUNDS, scale_bound
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHAPES = (0.5, 0.8, 1.0, 2.0, 4.0)
COLORS = (VERMILION, ORANGE, GREEN, BLUE, SKY)
_NARROWEST, _WIDEST = 0.01, 1.0  # scales
_NATS = 30.0  # beyond which a number is so rare that it does not count
_ORDER = 8  # of the quadrature of a panel


@dataclasses.dataclass(frozen=True, repr=False)
class NoiseGap(Result):
    """Expected bits of a generalised Gaussian about 0 under its own distribution.

    Attributes
    ----------
    shapes : tuple of float
        β of the distributions.
    scales : ndarray (n,)
        Their α, from 0.01 to 1 bins.
    rounded, noisy : ndarray (shapes, n)
        Expected bits of a number that is rounded, and of one that uniform noise is added to.
    error : float
        Largest difference of the noisy bits to those of a coarser quadrature.
    bounds : ndarray (3, shapes)
        The smallest scales of the bounds ``"tail"``, ``"proportional"`` and ``"constant"``.
    interrupted : bool
        Whether there are fewer shapes than were asked for.
    """

    shapes: tuple[float, ...]
    scales: np.ndarray
    rounded: np.ndarray
    noisy: np.ndarray
    error: float
    bounds: np.ndarray
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per shape and scale."""
        parts = [
            pd.DataFrame(
                {
                    "shape": shape,
                    "scale": self.scales,
                    "rounded_bits": self.rounded[place],
                    "noisy_bits": self.noisy[place],
                    "gap": self.noisy[place] - self.rounded[place],
                }
            )
            for place, shape in enumerate(self.shapes)
        ]
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The gap, noisy minus rounded, over the scale; points where the tail bounds each."""
        ax = new_axes(ax)
        for place, shape in enumerate(self.shapes):
            gap = self.noisy[place] - self.rounded[place]
            color = COLORS[place % len(COLORS)]
            ax.plot(self.scales, gap, color=color, label=f"β = {shape:g}")
            bound = self.bounds[0, place]
            if self.scales[0] <= bound <= self.scales[-1]:
                ax.plot(bound, np.interp(bound, self.scales, gap), "o", color=color)
        ax.axhline(0, color="0.5", linewidth=1)
        ax.set_xscale("log")
        ax.set_xlabel("scale α (bins)")
        ax.set_ylabel("bits with noise − bits rounded")
        ax.set_title("points: smallest scale of the tail's bound", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The largest gap of each shape, and the gap at each bound."""
        lines = []
        for place, shape in enumerate(self.shapes):
            gap = self.noisy[place] - self.rounded[place]
            top = int(np.abs(gap).argmax())
            line = f"β = {shape:g}: largest gap {gap[top]:+.3f} bits, at α = {self.scales[top]:.3g}"
            lines.append(f"{line}; tail's bound α = {self.bounds[0, place]:.3g}")
        note = ", INTERRUPTED before the other shapes" if self.interrupted else ""
        lines.append(f"{len(self.scales)} scales, quadrature to {self.error:.1g} bits{note}")
        return "\n".join(lines)


def noise_gap(shapes: Sequence[float] = SHAPES, *, scales: int = 41) -> NoiseGap:
    r"""Expected bits with noise and with rounding, for latents that follow their model exactly.

    The density of a latent with uniform noise is the probability p(t) of the bin about t, so that the bits
    are :math:`-\int p \log_2 p\,dt` with noise and :math:`-\sum_k p(k) \log_2 p(k)` rounded.

    Parameters
    ----------
    shapes : sequence of float
        β, from 0.4 to 10.
    scales : int
        How many, equally far apart on a logarithmic axis from 0.01 to 1 bins.

    Returns
    -------
    NoiseGap
        An interrupt (Ctrl-C) returns the shapes that were done.

    Raises
    ------
    TypeError, ValueError
        If a shape or the number of scales is out of range, or there is no shape.

    Notes
    -----
    Cost: some 1000 likelihoods for each shape and scale, in float64.
    """
    if not len(shapes):
        raise ValueError("shapes is empty: name at least one")
    for shape in shapes:
        check_number("shape", shape, low=0.4, below=10)
    check_count("scales", scales, low=2)
    grid = np.geomspace(_NARROWEST, _WIDEST, scales)
    found: list[list[tuple[float, float, float]]] = []
    interrupted = False
    try:
        with progress("bits with noise", len(shapes)) as advance:
            for shape in shapes:
                found.append([_bits(float(scale), float(shape)) for scale in grid])
                advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    rounded, noisy, coarse = np.array(found).transpose(2, 0, 1)
    done = tuple(float(shape) for shape in shapes[: len(found)])
    betas = torch.tensor(done, dtype=torch.float64)
    return NoiseGap(
        shapes=done,
        scales=grid,
        rounded=rounded,
        noisy=noisy,
        error=float(np.abs(noisy - coarse).max()),
        bounds=np.stack([scale_bound(betas, kind).numpy() for kind in BOUNDS[:3]]),
        interrupted=interrupted,
    )


def _bits(scale: float, shape: float) -> tuple[float, float, float]:
    """Rounded, noisy, and noisy by a coarser quadrature."""
    reach = 0.5 + scale * _NATS ** (1 / shape)
    whole = np.arange(math.ceil(reach) + 1)
    terms = _information(whole.astype(float), scale, shape)
    rounded = 2 * terms.sum() - terms[0]
    noisy, coarse = (
        2 * _integral(_edges(scale, reach), order, scale, shape) for order in (_ORDER, _ORDER // 2)
    )
    return float(rounded), noisy, coarse


def _edges(scale: float, reach: float) -> np.ndarray:
    """Panels from 0 to the reach that shrink towards the edge of the bin, where p falls within a scale."""
    away = scale * 2.0 ** np.arange(-40, 60)
    edges = np.concatenate([[0.0, 0.5, reach], 0.5 - away, 0.5 + away])
    return np.unique(edges[(edges >= 0) & (edges <= reach)])


def _integral(edges: np.ndarray, order: int, scale: float, shape: float) -> float:
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges) / 2
    places = (edges[:-1] + half)[:, None] + half[:, None] * nodes
    terms = _information(places.ravel(), scale, shape).reshape(places.shape)
    return float((half[:, None] * weights * terms).sum())


def _information(places: np.ndarray, scale: float, shape: float) -> np.ndarray:
    """P times bits at each place."""
    y = torch.from_numpy(places)
    given = (torch.tensor(each, dtype=torch.float64) for each in (0.0, scale, shape))
    bits = generalized_gaussian_bits(y, *given)
    return (torch.exp2(-bits) * bits).numpy()
