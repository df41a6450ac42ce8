"""Maps of a network of ImageNet on photographs, against boxes drawn by hand."""

import pytest
import torch

from workbench.problems.imagenet_classes import class_index
from workbench.problems.imagenet_mobilenet import pretrained_mobilenet
from workbench.problems.images import load_image, object_boxes
from workbench.saliency import SaliencyMaps, explain

BOXES = object_boxes()
ALL = {box.image for box in BOXES}


@pytest.fixture(scope="module")
def maps() -> SaliencyMaps:
    images = torch.stack([load_image(box.image) for box in BOXES])
    classes = torch.tensor([class_index(box.class_name) for box in BOXES])
    layers = ["features.3", "features.6", "features.18"]
    return explain(
        pretrained_mobilenet(), images, classes, ["gradient", "grad_cam", "hires_cam", "norm_grad"], layers
    )


def hit(maps: SaliencyMaps, method: str, layer: str) -> set[str]:
    """Images on which the map's maximum lies in the box of the class."""
    found = set()
    for box, peak in zip(
        BOXES, maps.select(method, layer).sized[:, 0].flatten(1).argmax(1).tolist(), strict=True
    ):
        left, top, right, bottom = box.box
        if left <= peak % 224 < right and top <= peak // 224 < bottom:
            found.add(box.image)
    return found


@pytest.mark.parametrize(
    ("method", "layer"),
    [("gradient", "features.3"), ("gradient", "features.6"), ("hires_cam", "features.3"),
     ("hires_cam", "features.6"), ("norm_grad", "features.3")],
)  # fmt: skip
def test_the_largest_value_lies_in_the_box_of_the_class(maps: SaliencyMaps, method: str, layer: str) -> None:
    assert hit(maps, method, layer) == ALL


def test_grad_cam_finds_what_is_not_smaller_than_a_cell(maps: SaliencyMaps) -> None:
    """A location of the last layer is 32 pixels wide, the rocket 22."""
    assert hit(maps, "grad_cam", "features.18") == ALL - {"rocket"}


def test_grad_cam_fails_in_an_early_layer(maps: SaliencyMaps) -> None:
    """The mean of the gradient over space says nothing there of where it is."""
    assert len(hit(maps, "grad_cam", "features.3")) <= 4


def test_norm_grad_at_the_last_convolution_knows_no_class_and_misses_the_space_shuttle(
    maps: SaliencyMaps,
) -> None:
    assert maps.select("norm_grad", "features.18").class_blind
    assert "astronaut" not in hit(maps, "norm_grad", "features.18")
    assert "astronaut" in hit(maps, "grad_cam", "features.18")
