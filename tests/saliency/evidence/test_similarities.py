"""Similarities against scipy and scikit-image, pair by pair."""

import numpy as np
import pytest
import torch
from evidence_cases import images
from scipy.stats import pearsonr, spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity

from workbench.saliency.evidence import SIMILARITIES, compare_maps

FIRST = images(5, 1, 16, 12)[:, 0]
SECOND = (FIRST + images(5, 1, 16, 12, seed=1)[:, 0]).round(decimals=1)  # with equal values


def scaled(plane: np.ndarray) -> np.ndarray:
    return (plane - plane.min()) / (plane.max() - plane.min())


def by_peer(name: str, a: np.ndarray, b: np.ndarray) -> float:
    if name == "pearson":
        return pearsonr(a.ravel(), b.ravel()).statistic
    if name == "spearman":
        return spearmanr(a.ravel(), b.ravel()).statistic
    if name == "spearman_abs":
        return spearmanr(abs(a).ravel(), abs(b).ravel()).statistic
    if name == "ssim":
        return structural_similarity(scaled(a), scaled(b), data_range=1.0)
    features = [hog(scaled(m), 8, (2, 2), cells_per_block=(1, 1)) for m in (a, b)]
    return pearsonr(*features).statistic


@pytest.mark.parametrize("name", list(SIMILARITIES))
def test_each_pair_is_compared_as_by_the_peers(name: str) -> None:
    found = compare_maps(FIRST, SECOND, name)
    expected = [by_peer(name, a, b) for a, b in zip(FIRST.numpy(), SECOND.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-11)
    np.testing.assert_allclose(compare_maps(FIRST, FIRST, name), 1, atol=1e-12)


def test_small_maps_have_a_smaller_window() -> None:
    a, b = FIRST[:, :6, :5], SECOND[:, :6, :5]
    expected = [structural_similarity(scaled(x), scaled(y), data_range=1.0, win_size=5)
                for x, y in zip(a.numpy(), b.numpy(), strict=True)]  # fmt: skip
    np.testing.assert_allclose(compare_maps(a, b, "ssim"), expected, atol=1e-11)


@pytest.mark.parametrize("name", list(SIMILARITIES))
def test_constant_maps_are_undefined(name: str) -> None:
    second = SECOND.clone()
    second[1], second[3, 0, 0] = 2.0, torch.nan
    found = compare_maps(FIRST, second, name)
    assert np.isnan(found).tolist() == [False, True, False, True, False]
    assert np.isnan(compare_maps(torch.ones(2, 8, 8), FIRST[:2, :8, :8], name)).all()


def test_a_map_of_two_signs_is_constant_without_them() -> None:
    signs = SECOND.sign()
    signs[signs == 0] = 1
    assert np.isfinite(compare_maps(FIRST, signs, "spearman")).all()
    assert np.isnan(compare_maps(FIRST, signs, "spearman_abs")).all()


def test_unknown_words_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'spearman'"):
        compare_maps(FIRST, SECOND, "spearmann")
    with pytest.raises(ValueError, match="cannot be compared"):
        compare_maps(FIRST, SECOND[:1], "pearson")
