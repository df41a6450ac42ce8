"""Regression of digits by squared errors, the setting of edge-of-stability experiments."""

import torch
from torch import Tensor, nn

from workbench.problem import Problem
from workbench.problems.datasets import digits


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the squared error, summed over outputs and averaged over examples: ½‖·‖² per example."""
    return (outputs - targets).square().flatten(1).sum(1).mean() / 2


def class_regression(examples: int, width: int, seed: int) -> Problem:
    """A tanh network (64–width–10) before its training, on one-hot classes of the first examples.

    Pixels are centred: with their mean in the inputs, one direction is steeper than all others from the start.
    """
    images, labels = _first(examples)
    return _problem(images, nn.functional.one_hot(labels, 10).float(), width, seed)


def parity_regression(examples: int, width: int, seed: int) -> Problem:
    """The same with one output, +1 for even and −1 for odd digits: curvatures of rank one."""
    images, labels = _first(examples)
    return _problem(images, 1 - 2 * (labels[:, None] % 2).float(), width, seed)


def _first(examples: int) -> tuple[Tensor, Tensor]:
    images, labels = digits().train
    flat = images.flatten(1)
    return (flat - flat.mean(0))[:examples], labels[:examples]


def _problem(inputs: Tensor, targets: Tensor, width: int, seed: int) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, targets.shape[1]))
    return Problem(model, half_square, (inputs, targets), name="digits regression")
