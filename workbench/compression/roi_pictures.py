"""``roi_pictures``: grey photographs with the blocks that matter, drawn by hand."""

import dataclasses

import numpy as np

from workbench.choices import check_count
from workbench.problems.images import SIZE, denormalise, load_image, object_boxes

SIDE = 8  # pixels of a block
BOXED = tuple(dict.fromkeys(box.image for box in object_boxes()))
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of red, green and blue


@dataclasses.dataclass(frozen=True)
class RoiPicture:
    """A picture and its region of interest.

    Attributes
    ----------
    name : str
        Of the built-in image.
    pixels : ndarray (224, 224)
        Grey values from 0 to 255, in float32.
    region : ndarray of bool (28, 28)
        Blocks that a box around an object touches.
    """

    name: str
    pixels: np.ndarray
    region: np.ndarray


def roi_pictures(count: int = len(BOXED)) -> tuple[RoiPicture, ...]:
    """Load the first of the built-in photographs that have boxes around objects (data card: ``images.md``).

    Raises
    ------
    TypeError, ValueError
        If the count is not from 1 to their number.
    """
    check_count("count", count, high=len(BOXED))
    return tuple(RoiPicture(name, _grey(name), _region(name)) for name in BOXED[:count])


def _grey(name: str) -> np.ndarray:
    return np.einsum("chw,c->hw", 255 * denormalise(load_image(name)).numpy(), _LUMA)


def _region(name: str) -> np.ndarray:
    region = np.zeros((SIZE // SIDE, SIZE // SIDE), dtype=bool)
    for box in object_boxes():
        if box.image == name:
            left, top, right, bottom = box.box
            region[top // SIDE : -(-bottom // SIDE), left // SIDE : -(-right // SIDE)] = True
    return region
