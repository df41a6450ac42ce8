"""The pointing game against a loop over pixels."""

import math

import numpy as np
import pytest
import torch
from evidence_cases import images

from workbench.saliency.evidence import energy_pointing, pointing_game

BOXES = torch.tensor([[1, 1, 3, 4], [4, 0, 5, 2], [0, 4, 2, 6], [2, 2, 3, 3], [0, 0, 5, 6], [3, 3, 5, 5]])
CLASSES = torch.tensor([3, 3, 3, 7, 7, 9])


def brute_force(plane: np.ndarray, box: list[int], tolerance: float) -> float:
    tops = np.argwhere(plane == plane.max())
    left, top, right, bottom = box
    inside = [(y, x) for y in range(top, bottom) for x in range(left, right)]
    return np.mean([min(math.dist(t, p) for p in inside) <= tolerance for t in tops])


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2.3])
def test_hits_are_those_of_a_loop_and_classes_count_alike(tolerance: float) -> None:
    maps = images(6, 1, seed=2)[:, 0].round(decimals=0)  # several maxima
    found = pointing_game(maps, BOXES, CLASSES, tolerance=tolerance)
    expected = [brute_force(m, b, tolerance) for m, b in zip(maps.numpy(), BOXES.tolist(), strict=True)]
    np.testing.assert_allclose(found.values, expected)
    assert 0 < np.mean(expected) < 1
    by_class = [np.mean(expected[:3]), np.mean(expected[3:5]), expected[5]]
    assert found.mean == pytest.approx(np.mean(by_class))
    assert pointing_game(maps, BOXES, tolerance=tolerance).mean == pytest.approx(np.mean(expected))


def test_masks_give_what_boxes_give() -> None:
    maps = images(6, 1, seed=2)[:, 0]
    masks = torch.zeros(6, 6, 5, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, BOXES.tolist(), strict=True):
        mask[top:bottom, left:right] = True
    by_boxes, by_masks = (pointing_game(maps, where, CLASSES, tolerance=1) for where in (BOXES, masks))
    np.testing.assert_array_equal(by_boxes.values, by_masks.values)


def test_a_constant_map_and_an_absent_object_are_undefined() -> None:
    maps, boxes = images(6, 1, seed=2)[:, 0], BOXES.clone()
    maps[0], maps[1, 0, 0], boxes[2] = 1.0, torch.nan, 0
    found = pointing_game(maps, boxes, CLASSES)
    assert np.isnan(found.values).tolist() == [True, True, True, False, False, False]
    assert found.mean == 1  # class 3 has no defined sample left; 15 pixels reach everywhere here
    with pytest.raises(ValueError, match="0 or more"):
        pointing_game(maps, boxes, tolerance=-1)


def test_a_tolerance_that_covers_most_of_the_picture_is_told() -> None:
    maps = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0, 0, 4, 4]] * 3)
    found = pointing_game(maps, boxes)
    assert "TOLERANCE TOO LARGE" in found.warning
    assert found.warning in found.summary()
    found = pointing_game(maps, boxes, tolerance=0)
    assert not found.warning
    assert f"where {16 / 256:.3g} of the area is" in found.notes[0]


def test_there_is_one_class_for_each_map() -> None:
    maps, boxes = torch.rand(3, 16, 16), torch.tensor([[0, 0, 4, 4]] * 3)
    for metric in (pointing_game, energy_pointing):
        with pytest.raises(ValueError, match=r"classes have shape \(2,\): 3 maps need one each"):
            metric(maps, boxes, torch.tensor([1, 2]))
        with pytest.raises(TypeError, match="maps is a ndarray"):
            metric(maps.numpy(), boxes)
