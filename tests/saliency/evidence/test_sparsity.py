"""The Gini index against its definition by mean differences, and where it is known."""

import numpy as np
import pytest
import torch
from evidence_cases import images

from workbench.saliency.evidence import sparseness


def test_it_is_half_the_relative_mean_difference() -> None:
    maps = images(4, 1)[:, 0]
    for plane, value in zip(maps, sparseness(maps).values, strict=True):
        a = plane.abs().flatten().numpy()
        assert value == pytest.approx(np.abs(a[:, None] - a).mean() / (2 * a.mean()), rel=1e-12)


def test_flat_single_and_empty_maps() -> None:
    maps = torch.zeros(4, 6, 5)
    maps[0], maps[1, 2, 2], maps[3, 0, 0] = -2.0, 3.0, torch.nan
    found = sparseness(maps)
    assert found.values[0] == pytest.approx(0, abs=1e-12)
    assert found.values[1] == pytest.approx(1 - 1 / 30)
    assert np.isnan(found.values[2:]).all()
    assert (found.n, found.undefined) == (2, 2)
    with pytest.raises(ValueError, match=r"must be \(N, H, W\)"):
        sparseness(maps[0])
