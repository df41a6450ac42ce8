"""``load_task``: a network trained on upright digits, and other digits to adapt it to."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.problems import load_problem
from workbench.problems.datasets import digits

Examples = tuple[Tensor, Tensor]

# What is done to the images of the digits that the network knows.
TASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "turned": lambda images: torch.rot90(images, 1, (2, 3)),
    "negative": lambda images: 1 - images,
}


@dataclasses.dataclass(frozen=True)
class AdaptationTask:
    """A pretrained network and what it is to learn.

    Attributes
    ----------
    network : nn.Module
        Trained on upright digits, in eval mode; copy it to train it.
    train, validation, test : (Tensor, Tensor)
        Changed images (n, 1, 8, 8) and labels. The validation examples are those of the training split that
        are not trained on, the test examples the held-out split.
    """

    network: nn.Module
    train: Examples
    validation: Examples
    test: Examples


def load_task(
    name: str, *, examples: int, width: int, blocks: int, pretraining: int, seed: int
) -> AdaptationTask:
    """Return the problem ``digits-transformer`` of this size and seed, and a draw of changed examples.

    Raises
    ------
    TypeError, ValueError
        If the task is unknown, or a number is out of range.

    Notes
    -----
    Cost: ``pretraining`` passes forward and backward over 1437 digits, unless the network is in the cache.
    """
    check_choice("task", name, tuple(TASKS))
    data = digits()
    images, labels = data.train
    check_count("examples", examples, high=len(labels) - 1)  # one at least is left to validate on
    problem = load_problem("digits-transformer", width=width, blocks=blocks, epochs=pretraining, seed=seed)
    change = TASKS[name]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    chosen, others = order[:examples], order[examples:]
    return AdaptationTask(
        network=problem.model,
        train=(change(images[chosen]), labels[chosen]),
        validation=(change(images[others]), labels[others]),
        test=(change(data.test[0]), data.test[1]),
    )
