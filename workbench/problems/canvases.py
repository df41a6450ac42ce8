"""Canvases with several digits at random places, whose boxes are known exactly. Card: ``data/canvas.md``."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.problems.datasets import SPLITS, Split, digits

SIDE = 96  # pixels of a side of the canvas
SMALLEST, LARGEST = 16, 40  # pixels of a side of a digit
MOST_DISTRACTORS = 3
NOISE = 0.1  # standard deviation, where ink is 1
# "Difficult" as in the pointing game, arXiv:1608.00507: small and among others; these thresholds are ours.
DIFFICULT_AREA = SIDE**2 / 16
DIFFICULT_DISTRACTORS = 2


class LocatedObjects(NamedTuple):
    """Objects in images, one a row: what a pointing game is played on.

    Attributes
    ----------
    inputs : Tensor (n, 1, h, w)
        The image, as often as it has objects.
    targets : Tensor (n,) of int
        Class of the object: the logit to explain.
    boxes : Tensor (n, 4) of int
        Left, top, right, bottom in pixels; right and bottom are the first pixels outside.
    difficult : Tensor (n,) of bool
        Whether the object is small and among several others.
    """

    inputs: Tensor
    targets: Tensor
    boxes: Tensor
    difficult: Tensor


@dataclass(frozen=True)
class Canvases:
    """Canvases, the classes that are present in them, and where.

    Attributes
    ----------
    images : Tensor (n, 1, 96, 96)
        Grey, in float32: noise around 0, ink up to 1.
    targets : Tensor (n, 10)
        1 where the class is present, else 0; in float32, as ``nn.BCEWithLogitsLoss`` takes them.
    boxes : Tensor (n, 10, 4) of int
        Left, top, right, bottom of the digit of each class, as it was pasted, margin included; right and
        bottom are the first pixels outside. 0 where the class is absent.
    """

    images: Tensor
    targets: Tensor
    boxes: Tensor

    @property
    def difficult(self) -> Tensor:
        """Whether the digit of a class (n, 10) covers less than 1/16 of a canvas with at least two others."""
        left, top, right, bottom = self.boxes.unbind(-1)
        area = (right - left) * (bottom - top)
        distractors = self.targets.sum(1, keepdim=True) - 1
        return (self.targets > 0) & (area < DIFFICULT_AREA) & (distractors >= DIFFICULT_DISTRACTORS)

    def objects(self) -> LocatedObjects:
        """Return each digit of each canvas, in the order of the canvases and of the classes."""
        canvas, label = self.targets.nonzero(as_tuple=True)
        boxes, difficult = self.boxes[canvas, label], self.difficult[canvas, label]
        return LocatedObjects(self.images[canvas], label, boxes, difficult)


@cache
def draw_canvases(split: Split, count: int, seed: int = 0) -> Canvases:
    """Paste digits on canvases: two to four of different classes, of different sizes, beside each other.

    The same arguments give the same canvases; they are kept while the process runs (37 kB each), so copy them
    before you change them.

    Parameters
    ----------
    split : {"train", "test"}
        Which digits to paste: no digit of one split occurs in the other.
    count : int
        Number of canvases, at least 1. Fewer are the first of more.
    seed : int
        Of which digits, how many, how large and where.

    Returns
    -------
    Canvases
    """
    check_choice("split", split, SPLITS)
    check_count("count", count)
    check_count("seed", seed, low=0)
    data = digits()
    pictures, labels = data.train if split == "train" else data.test
    drawn = [
        _canvas(pictures, labels, np.random.default_rng((seed, SPLITS.index(split), number)))
        for number in range(count)
    ]
    images, targets, boxes = (torch.stack(parts) for parts in zip(*drawn, strict=True))
    return Canvases(images, targets, boxes)


def _canvas(pictures: Tensor, labels: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one canvas (1, 96, 96), which classes are present (10,), and their boxes (10, 4)."""
    image = torch.from_numpy(NOISE * random.standard_normal((1, SIDE, SIDE), dtype=np.float32))
    targets, boxes = torch.zeros(10), torch.zeros(10, 4, dtype=torch.int64)
    classes = random.choice(10, size=2 + random.integers(MOST_DISTRACTORS), replace=False)
    for label, (left, top, side) in zip(classes, _places(len(classes), random), strict=True):
        choices = (labels == int(label)).nonzero()[:, 0]
        picture = pictures[choices[random.integers(len(choices))]]
        ink = F.interpolate(picture[None], (side, side), mode="bilinear")[0]
        image[:, top : top + side, left : left + side] += ink
        targets[label] = 1
        boxes[label] = torch.tensor([left, top, left + side, top + side])
    return image, targets, boxes


def _places(count: int, random: np.random.Generator) -> np.ndarray:
    """Draw squares (count, 3) that do not overlap: left, top, side; all are drawn again until none do."""
    while True:
        sides = random.integers(SMALLEST, LARGEST + 1, size=count)
        corners = random.integers(0, SIDE + 1 - sides[:, None], size=(count, 2))
        apart = (corners[:, None] + sides[:, None, None] <= corners[None]).any(-1)
        if (apart | apart.T | np.eye(count, dtype=bool)).all():
            return np.column_stack([corners, sides])
