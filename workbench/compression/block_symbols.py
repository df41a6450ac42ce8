"""``quantise`` and ``reconstruct``: a picture as whole numbers, finer inside its region of interest."""

import dataclasses
import math

import numpy as np
from scipy import fft

from workbench.compression.roi_pictures import SIDE, RoiPicture

MIDDLE = 128.0  # grey value that is taken off first


@dataclasses.dataclass(frozen=True)
class BlockSymbols:
    """Quantised cosine transforms of blocks.

    Attributes
    ----------
    symbols : ndarray of int (rows, columns, 8, 8)
        Coefficients in units of the block's step, vertical frequency first; in place of the mean of a block,
        its difference to what the block before it, row by row, lets expect.
    latents : ndarray (rows, columns, 8, 8)
        The same before rounding.
    steps : ndarray (rows, columns)
        Of each block.
    region : ndarray of bool (rows, columns)
        Which blocks matter.
    """

    symbols: np.ndarray
    latents: np.ndarray
    steps: np.ndarray
    region: np.ndarray


def quantise(picture: RoiPicture, step: float, weight: float) -> BlockSymbols:
    """Transform and round a picture.

    Parameters
    ----------
    picture : RoiPicture
        Whose sides are multiples of 8.
    step : float
        Of the quantiser inside the region, in grey values.
    weight : float
        Of squared errors inside the region beside those outside. Steps outside are √weight times as wide:
        fine quantisers have an error of step² / 12, so that weighted errors are the same everywhere.
    """
    steps = block_steps(picture.region, step, weight)
    rows, columns = picture.region.shape
    blocks = (picture.pixels - MIDDLE).reshape(rows, SIDE, columns, SIDE).transpose(0, 2, 1, 3)
    latents = fft.dctn(blocks, axes=(2, 3), norm="ortho") / steps[..., None, None]
    symbols = latents.round().astype(np.int64)
    expected = _expected(symbols[..., 0, 0].ravel(), steps.ravel()).reshape(rows, columns)
    for numbers in (symbols, latents):
        numbers[..., 0, 0] -= expected
    return BlockSymbols(symbols, latents, steps, picture.region)


def reconstruct(symbols: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the picture (height, width) of symbols, in grey values from 0 to 255."""
    rows, columns = steps.shape
    whole = symbols.copy()
    whole[..., 0, 0] = _summed(symbols[..., 0, 0].ravel(), steps.ravel()).reshape(rows, columns)
    blocks = fft.idctn(whole * steps[..., None, None], axes=(2, 3), norm="ortho")
    pixels = blocks.transpose(0, 2, 1, 3).reshape(rows * SIDE, columns * SIDE) + MIDDLE
    return np.clip(pixels, 0, 255)


def quality(picture: RoiPicture, pixels: np.ndarray) -> tuple[float, float]:
    """Peak signal-to-noise ratios in decibels, inside and outside the region of interest."""
    inside = np.kron(picture.region, np.ones((SIDE, SIDE), dtype=bool))
    errors = (picture.pixels - pixels) ** 2
    found = [10 * math.log10(255**2 / errors[part].mean()) for part in (inside, ~inside)]
    return found[0], found[1]


def block_steps(region: np.ndarray, step: float, weight: float) -> np.ndarray:
    """Return the step of each block."""
    return np.where(region, step, step * math.sqrt(weight))


def _expected(means: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """What each block's mean is expected to be: that of the block before, in steps of its own."""
    before = np.concatenate([[0.0], means[:-1] * steps[:-1]])
    return np.round(before / steps).astype(np.int64)


def _summed(differences: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Undo the differences, block after block."""
    means = np.zeros_like(differences)
    before = 0.0
    for place, (difference, step) in enumerate(zip(differences, steps, strict=True)):
        means[place] = difference + int(np.round(before / step))
        before = means[place] * step
    return means
