"""Energy pointing against sums over slices."""

import numpy as np
import pytest
import torch
from evidence_cases import images

from workbench.saliency.evidence import energy_pointing

BOXES = torch.tensor([[1, 1, 3, 4], [4, 0, 5, 2], [0, 4, 2, 6], [2, 2, 3, 3]])


def test_it_is_the_share_of_the_positive_values_in_the_box() -> None:
    maps = images(4, 1, seed=2)[:, 0]
    found = energy_pointing(maps, BOXES, torch.tensor([0, 0, 0, 1]))
    shares = []
    for plane, (left, top, right, bottom) in zip(np.maximum(maps.numpy(), 0), BOXES.tolist(), strict=True):
        shares.append(plane[top:bottom, left:right].sum() / plane.sum())
    np.testing.assert_allclose(found.values, shares)
    assert found.mean == pytest.approx((np.mean(shares[:3]) + shares[3]) / 2)


def test_a_flat_map_has_the_share_of_the_area() -> None:
    found = energy_pointing(torch.ones(4, 6, 5), BOXES)
    np.testing.assert_allclose(found.values, np.array([6, 2, 4, 1]) / 30)
    assert f"{13 / 120:.3g} of the area" in found.summary()


def test_nothing_positive_or_no_object_is_undefined() -> None:
    maps, boxes = images(4, 1, seed=2)[:, 0], BOXES.clone()
    maps[0], maps[1, 0, 0], boxes[2] = -1, torch.inf, 0
    assert np.isnan(energy_pointing(maps, boxes).values).tolist() == [True, True, True, False]
