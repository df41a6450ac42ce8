"""Boxes and masks, pixel by pixel."""

import math

import pytest
import torch

from workbench.saliency.evidence import region_masks

MAPS = torch.zeros(2, 6, 5)


def test_a_box_ends_before_its_right_and_bottom() -> None:
    masks = region_masks(torch.tensor([[1, 2, 4, 5], [0, 0, 5, 6]]), MAPS)
    expected = torch.zeros(6, 5, dtype=torch.bool)
    expected[2:5, 1:4] = True
    assert torch.equal(masks[0], expected)
    assert masks[1].all()


def test_several_boxes_are_joined_and_there_may_be_none() -> None:
    masks = region_masks([torch.tensor([[0, 0, 1, 1], [4, 5, 9, 9]]), torch.zeros(0, 4)], MAPS)
    assert masks[0].nonzero().tolist() == [[0, 0], [5, 4]]
    assert not masks[1].any()


def test_masks_are_taken_as_they_are() -> None:
    given = torch.rand(2, 6, 5) > 0.5
    assert torch.equal(region_masks(given, MAPS), given)


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        (torch.zeros(3, 4), "3 regions for 2 maps"),
        (torch.zeros(2, 5), "not \\(k, 4\\)"),
        (torch.zeros(2, 5, 6, dtype=torch.bool), "masks have shape"),
        (torch.tensor([[1, 2, 4, 5], [3, 0, 2, 6]]), "ends before it begins"),
    ],
)
def test_what_does_not_fit_is_refused(regions: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        region_masks(regions, MAPS)


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ("a box", "regions are a str"),
        ([[1, 2, 4, 5], [0, 0, 5, 6]], "regions of a sample are a list"),
        (torch.ones(2, 6, 5), "masks are torch.float32.*of bool"),
        (None, "regions are a NoneType"),
    ],
)
def test_another_kind_is_refused(regions: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        region_masks(regions, MAPS)


@pytest.mark.parametrize(
    "box", [[100, 100, 140, 140], [-9, -9, -4, -4], [2, 8, 5, 12], [math.nan, 0.0, 3.0, 4.0]]
)
def test_a_box_outside_of_the_map_is_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"lies outside of the map of 8 × 9 pixels"):
        region_masks([torch.tensor([box])], torch.zeros(1, 8, 9))


def test_a_box_may_reach_beyond_the_map_and_may_be_empty() -> None:
    masks = region_masks(torch.tensor([[-3, -3, 2, 1], [0, 0, 0, 0], [50, 50, 50, 50]]), torch.zeros(3, 8, 9))
    assert masks.flatten(1).sum(1).tolist() == [2, 0, 0]
