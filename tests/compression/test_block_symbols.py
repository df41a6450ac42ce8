"""Symbols are the rounded cosine transform; pictures come back to half a step."""

import math

import numpy as np
import pytest

from workbench.compression.block_symbols import quality, quantise, reconstruct
from workbench.compression.roi_pictures import RoiPicture, roi_pictures


@pytest.fixture(scope="module")
def picture() -> RoiPicture:
    return roi_pictures(1)[0]


def cosine(block: np.ndarray, row: int, column: int) -> float:
    """One coefficient of the orthonormal transform, written out."""
    place = (np.arange(8) + 0.5) * math.pi / 8
    scale = [math.sqrt((1 if frequency == 0 else 2) / 8) for frequency in (row, column)]
    return float(scale[0] * scale[1] * np.cos(row * place) @ block @ np.cos(column * place))


def test_symbols_are_the_rounded_transform(picture: RoiPicture) -> None:
    blocks = quantise(picture, 12.0, 16.0)
    for row, column in ((0, 1), (3, 2), (7, 7)):
        block = picture.pixels[80:88, 40:48].astype(float) - 128
        step = 12.0 if picture.region[10, 5] else 48.0
        expected = cosine(block, row, column) / step
        assert blocks.latents[10, 5, row, column] == pytest.approx(expected, abs=1e-4)
        assert blocks.symbols[10, 5, row, column] == round(expected)


def test_means_are_differences_to_the_block_before(picture: RoiPicture) -> None:
    blocks = quantise(picture, 12.0, 1.0)
    block = picture.pixels[80:88, 40:56].astype(float) - 128
    first, second = (round(cosine(block[:, part : part + 8], 0, 0) / 12) for part in (0, 8))
    assert blocks.symbols[10, 6, 0, 0] == second - first


@pytest.mark.parametrize("weight", [1.0, 16.0, 20.0])
def test_coefficients_come_back_to_half_a_step(picture: RoiPicture, weight: float) -> None:
    blocks = quantise(picture, 4.0, weight)
    pixels = reconstruct(blocks.symbols, blocks.steps)
    # The transform keeps squared errors; clipping to grey values can only lower them.
    errors = ((picture.pixels - pixels) ** 2).reshape(28, 8, 28, 8).sum((1, 3))
    assert (errors <= 64 * (blocks.steps / 2) ** 2 + 1e-2).all()


def test_weighted_errors_are_alike_for_fine_steps(picture: RoiPicture) -> None:
    blocks = quantise(picture, 0.5, 16.0)
    inside, outside = quality(picture, reconstruct(blocks.symbols, blocks.steps))
    assert inside - outside == pytest.approx(10 * math.log10(16), abs=0.5)


def test_quality_is_in_decibels(picture: RoiPicture) -> None:
    inside, outside = quality(picture, picture.pixels + np.float32(2.55))
    assert inside == pytest.approx(40, abs=1e-3)
    assert outside == pytest.approx(40, abs=1e-3)
