"""Canvases: what is pasted where, and that the boxes are of it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.problems.canvases import Canvases, draw_canvases
from workbench.problems.datasets import digits


@pytest.fixture(scope="module")
def drawn() -> Canvases:
    return draw_canvases("test", 150)


def area(boxes: Tensor) -> Tensor:
    left, top, right, bottom = boxes.unbind(-1)
    return (right - left) * (bottom - top)


def test_shapes_and_numbers(drawn: Canvases) -> None:
    assert drawn.images.shape == (150, 1, 96, 96)
    assert drawn.images.dtype == drawn.targets.dtype == torch.float32
    assert set(drawn.targets.unique().tolist()) == {0, 1}
    assert set(drawn.targets.sum(1).tolist()) == {2, 3, 4}
    assert (area(drawn.boxes) > 0).equal(drawn.targets > 0)
    objects = drawn.objects()
    assert len(objects.inputs) == len(objects.targets) == drawn.targets.sum()
    left, top, right, bottom = objects.boxes.unbind(-1)
    assert objects.boxes.min() >= 0
    assert objects.boxes.max() <= 96
    assert (right - left).equal(bottom - top)
    assert set((right - left).tolist()) == set(range(16, 41))


def test_what_a_box_holds_is_a_digit_of_its_class_of_the_right_split() -> None:
    """Without the digit of that class and split, noise is left; no digit of the other split does as well."""
    (pictures, labels), (others, _) = digits().test, digits().train
    objects = draw_canvases("test", 8).objects()
    for image, label, (left, top, right, bottom) in zip(*objects[:2], objects.boxes.tolist(), strict=True):
        side = right - left
        inside = image[:, top:bottom, left:right]
        candidates = F.interpolate(pictures[labels == label], (side, side), mode="bilinear")
        gap = (candidates - inside).square().mean((1, 2, 3)).min().sqrt()
        assert 0.07 < gap < 0.13  # the noise alone: 0.1
        foreign = F.interpolate(others, (side, side), mode="bilinear")
        assert (foreign - inside).square().mean((1, 2, 3)).min().sqrt() > gap


def test_boxes_do_not_overlap_and_only_noise_is_outside(drawn: Canvases) -> None:
    covered = torch.zeros(150, 96, 96)
    for canvas, label in drawn.targets.nonzero().tolist():
        left, top, right, bottom = drawn.boxes[canvas, label].tolist()
        covered[canvas, top:bottom, left:right] += 1
    assert covered.max() == 1
    outside = drawn.images[:, 0][covered == 0]
    assert outside.mean().abs() < 1e-3
    assert outside.std() == pytest.approx(0.1, rel=0.01)
    assert outside.abs().max() < 0.6


def test_digits_stand_everywhere(drawn: Canvases) -> None:
    left, top, right, bottom = draw_canvases("train", 600).objects().boxes.double().unbind(-1)
    for center in ((left + right) / 2, (top + bottom) / 2):
        assert center.mean() == pytest.approx(48, abs=3)
        assert center.min() < 12
        assert center.max() > 84


def test_difficult_is_small_and_among_others(drawn: Canvases) -> None:
    for canvas, label in drawn.targets.nonzero().tolist():
        left, _, right, _ = drawn.boxes[canvas, label].tolist()
        expected = (right - left) < 24 and drawn.targets[canvas].sum() >= 3
        assert drawn.difficult[canvas, label] == expected
    assert not drawn.difficult[drawn.targets == 0].any()
    assert 0.2 < drawn.objects().difficult.float().mean() < 0.6


def test_the_objects_are_those_of_the_canvases(drawn: Canvases) -> None:
    objects = drawn.objects()
    canvas, label = drawn.targets.nonzero(as_tuple=True)
    assert objects.targets.equal(label)
    assert objects.boxes.equal(drawn.boxes[canvas, label])
    assert objects.inputs[5].equal(drawn.images[canvas[5]])


def test_the_same_arguments_give_the_same_canvases(drawn: Canvases) -> None:
    assert draw_canvases("test", 150) is drawn
    fewer = draw_canvases("test", 20)
    assert fewer.images.equal(drawn.images[:20])
    assert fewer.boxes.equal(drawn.boxes[:20])
    assert not draw_canvases("test", 20, seed=1).images.equal(fewer.images)
    assert not draw_canvases("train", 20).images.equal(fewer.images)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("tset", 3), ValueError, "did you mean 'test'"),
        (("test", 0), ValueError, "count=0 is out of range"),
        (("test", 2.5), TypeError, r"count=2\.5 is a float"),
        (("test", 3, -1), ValueError, "seed=-1 is out of range"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: tuple[object, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw_canvases(*arguments)  # type: ignore[arg-type]
