import numpy as np
import pytest

from workbench.compression.roi_pictures import BOXED, SIDE, roi_pictures
from workbench.problems.images import denormalise, load_image, object_boxes


def test_pictures_are_grey_and_their_regions_cover_the_boxes_and_no_block_more() -> None:
    for picture in roi_pictures():
        assert picture.pixels.shape == (224, 224)
        assert picture.pixels.min() >= 0
        assert picture.pixels.max() <= 255
        inside = np.zeros((224, 224), dtype=bool)
        for box in object_boxes():
            if box.image == picture.name:
                left, top, right, bottom = box.box
                inside[top:bottom, left:right] = True
        touched = inside.reshape(28, SIDE, 28, SIDE).any((1, 3))
        assert np.array_equal(picture.region, touched)


def test_grey_is_the_luma_of_the_photograph() -> None:
    (picture,) = roi_pictures(1)
    red, green, blue = 255 * denormalise(load_image(BOXED[0])).numpy()[:, 100, 100]
    assert picture.pixels[100, 100] == pytest.approx(0.299 * red + 0.587 * green + 0.114 * blue, rel=1e-5)


def test_a_count_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="count=8 is out of range: it must be from 1 to 7"):
        roi_pictures(8)
