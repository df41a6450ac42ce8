"""Axes of the pictures: layers from top to bottom, and logarithms that can be read over any range."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = 30  # of layers that can be read one below the other
_LETTERS = 32


def layer_axis(ax: "Axes", layers: Sequence[str]) -> np.ndarray:
    """Name the layers along the vertical axis, the first at the top, and return their places (L,).

    Of many layers every second, third, … is named; the middle of a long name is left out.
    """
    every = max(1, -(-len(layers) // _NAMES))
    places = np.arange(len(layers))
    size = "small" if len(layers) <= 15 else "x-small"
    ax.set_yticks(places[::every], [_shorten(name) for name in layers[::every]], fontsize=size)
    ax.set_ylim(max(len(layers), 1) - 0.5, -0.5)
    return places


def log_axis(ax: "Axes") -> None:
    """Make the horizontal axis logarithmic, with more than powers of ten where it spans few of them."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    if high < 100 * low:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _shorten(name: str) -> str:
    if len(name) <= _LETTERS:
        return name or "(the model)"
    half = _LETTERS // 2
    return f"{name[: half - 1]}…{name[-half:]}"
