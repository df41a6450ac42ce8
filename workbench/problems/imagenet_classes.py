"""The 1000 classes of ImageNet, and which of them a network sees. Card: ``data/imagenet.md``."""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench import paths
from workbench.choices import check_count, suggestion
from workbench.probes import refuse_training_mode


class ClassScore(NamedTuple):
    """A class and how likely a network takes it to be.

    Attributes
    ----------
    label : int
        Place among the logits.
    name : str
        As torchvision names it.
    probability : float
        Of the softmax over all classes.
    """

    label: int
    name: str
    probability: float


@cache
def class_names() -> tuple[str, ...]:
    """Return the names of the 1000 classes, in the order of the logits; no two are alike."""
    return tuple((paths.data() / "imagenet" / "classes.txt").read_text(encoding="utf-8").splitlines())


def class_index(name: str) -> int:
    """Return the place of a class among the logits.

    Raises
    ------
    ValueError
        If there is no such class; the nearest name is suggested.
    """
    names = class_names()
    if name not in names:
        raise ValueError(f"{name!r} is not a class of ImageNet{suggestion(name, names)}")
    return names.index(name)


def top_classes(model: nn.Module, image: Tensor, k: int = 5) -> list[ClassScore]:
    """Return the k classes that a network of ImageNet finds most likely. One forward pass.

    Parameters
    ----------
    model : nn.Module
        In eval mode; returns 1000 logits per image.
    image : Tensor (3, h, w) or (1, 3, h, w)
        Normalised, see :func:`workbench.problems.images.load_image`.
    k : int
        From 1 to 1000.

    Raises
    ------
    ValueError
        If ``image`` is not one image, ``k`` is out of range, the model has another number of classes, or
        dropout or BatchNorm is in train mode.
    """
    names = class_names()
    check_count("k", k, 1, len(names))
    images = image[None] if image.dim() == 3 else image
    if images.dim() != 4 or len(images) != 1:
        raise ValueError(f"image has shape {tuple(image.shape)}, not (3, h, w) or (1, 3, h, w)")
    refuse_training_mode(model)
    with torch.no_grad():
        logits = model(images)
    if logits.shape != (1, len(names)):
        raise ValueError(f"the model returns {tuple(logits.shape)}, not the logits (1, 1000) of ImageNet")
    found = logits[0].softmax(0).topk(k)
    pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
    return [ClassScore(label, names[label], probability) for label, probability in pairs]
