"""Pictures to explain: examples of a problem, photographs, files, and objects whose boxes are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.batches import Batch
from workbench.choices import check_count
from workbench.problem import Problem
from workbench.problems.canvases import LocatedObjects
from workbench.problems.imagenet_classes import class_index, class_names
from workbench.problems.images import list_images, load_images, object_boxes
from workbench.saliency.capture import INPUT
from workbench.saliency.layers import default_layers

_IMAGENET_CLASSES = 1000


class Examples(NamedTuple):
    """Pictures by name.

    Attributes
    ----------
    names : tuple of str
    inputs : Tensor (N, C, H, W)
        As the model takes them.
    """

    names: tuple[str, ...]
    inputs: Tensor


def find_examples(problem: Problem, picture: str = "0", count: int | None = None) -> Examples:
    """Find the pictures that a word means for a problem.

    Parameters
    ----------
    problem : Problem
        Its inputs are pictures (N, C, H, W).
    picture : str
        The number of one of the problem's examples, ``"all"`` for all of them; or the name of a built-in
        photograph, a file or a folder, prepared as for ImageNet, for a problem on such pictures.
    count : int, optional
        At most so many.

    Raises
    ------
    ValueError
        If there is no such picture, or it is none that the problem takes.
    """
    if count is not None:
        check_count("count", count)
    shape = tuple(_inputs(problem.small_batch(1)).shape[1:])
    if not picture.strip():
        raise ValueError("picture is empty: give the number of an example, a photograph, a file, or a folder")
    if picture.isdecimal():
        return _example(problem, int(picture))
    if picture == "all":
        inputs = _first(problem, problem.num_examples if count is None else count)
        return Examples(_names(problem, len(inputs)), inputs)
    if shape[0] != 3:
        raise ValueError(
            f"picture {picture!r} is no example of {problem.name!r}, whose inputs are {shape}: pass the "
            f"number of one, from 0 to {problem.num_examples - 1}, or 'all'"
        )
    found = load_images(picture)
    like = _inputs(problem.small_batch(1))
    return Examples(found.names[:count], found.inputs[:count].to(like))


def located_photographs(problem: Problem, count: int | None = None) -> LocatedObjects | None:
    """Return the (first so many) objects with boxes in the built-in photographs.

    None for a network that does not have the classes of ImageNet.
    """
    if not _has_imagenet_classes(problem):
        return None
    boxes = object_boxes()[:count]
    inputs = load_images([found.image for found in boxes]).inputs
    return LocatedObjects(
        inputs=inputs,
        targets=torch.tensor([class_index(found.class_name) for found in boxes]),
        boxes=torch.tensor([found.box for found in boxes]),
        difficult=torch.zeros(len(boxes), dtype=torch.bool),
    )


def usual_layers(problem: Problem, layers: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the input and the layers that are given, or those that ``explain`` takes by default."""
    found = default_layers(problem.model, _inputs(problem.small_batch(1))) if layers is None else layers
    return (INPUT, *(name for name in found if name != INPUT))


def label_names(problem: Problem) -> tuple[str, ...]:
    """Names of the classes: those of ImageNet for 1000 logits, numbers otherwise."""
    if _has_imagenet_classes(problem):
        return class_names()
    return tuple(f"class {label}" for label in range(_classes(problem)))


def _has_imagenet_classes(problem: Problem) -> bool:
    return _classes(problem) == _IMAGENET_CLASSES and _inputs(problem.small_batch(1)).shape[1] == 3


def _classes(problem: Problem) -> int:
    with torch.no_grad():
        logits = problem.model(_inputs(problem.small_batch(1)))
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        raise ValueError(f"{problem.name!r} does not return logits (N, classes)")
    return logits.shape[1]


def _first(problem: Problem, count: int) -> Tensor:
    """The first so many examples; no batch beyond them is read."""
    parts: list[Tensor] = []
    for batch, _ in problem.batches():
        parts.append(_inputs(batch))
        if sum(map(len, parts)) >= count:
            break
    return torch.cat(parts)[:count]


def _example(problem: Problem, number: int) -> Examples:
    check_count("picture", number, 0, problem.num_examples - 1)
    before = 0
    for batch, _ in problem.batches():
        inputs = _inputs(batch)
        if number < before + len(inputs):
            break
        before += len(inputs)
    return Examples((_names(problem, number + 1)[-1],), inputs[number - before : number - before + 1])


def _names(problem: Problem, count: int) -> tuple[str, ...]:
    """The built-in photographs have names, other examples numbers."""
    built_in = list_images()
    if problem.name == "imagenet-mobilenet" and problem.num_examples == len(built_in):
        return built_in[:count]
    return tuple(f"example {number}" for number in range(count))


def _inputs(batch: Batch) -> Tensor:
    inputs = batch[0] if isinstance(batch, list | tuple) else batch
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or not inputs.is_floating_point():
        kind = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"inputs are {kind}, not pictures (N, C, H, W)")
    return inputs


def is_folder(picture: str) -> bool:
    """Whether a word means several pictures."""
    return picture == "all" or (not picture.isdecimal() and Path(picture).expanduser().is_dir())
