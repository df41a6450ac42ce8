"""Regression of digits by squared errors, the setting of edge-of-stability experiments."""

import copy

import torch
from torch import Tensor, nn

from workbench.problem import Problem
from workbench.problems.datasets import digits
from workbench.random_vectors import generator


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the squared error, summed over outputs and averaged over examples: ½‖·‖² per example."""
    return (outputs - targets).square().flatten(1).sum(1).mean() / 2


def class_regression(examples: int, width: int, seed: int) -> Problem:
    """A tanh network (64–width–10), not yet trained, on one-hot classes of the first examples.

    Pixels are centred: with their mean in the inputs, one direction is by far the steepest from the start.
    """
    images, labels = _first(examples)
    return _problem(images, nn.functional.one_hot(labels, 10).float(), width, seed)


def parity_regression(examples: int, width: int, seed: int) -> Problem:
    """The same with one output, +1 for even and −1 for odd digits: curvatures of rank one."""
    images, labels = _first(examples)
    return _problem(images, 1 - 2 * (labels[:, None] % 2).float(), width, seed)


def fitted_parity(
    *,
    examples: int = 60,
    width: int = 24,
    batch_size: int = 16,
    learning_rate: float = 0.3,
    steps: int = 4000,
    seed: int = 0,
) -> Problem:
    """Train :func:`parity_regression` by SGD to a minimum that fits every example.

    The state before the training is its first checkpoint, that after it the last.

    Parameters
    ----------
    examples, width : int
        Of the digits, and hidden units.
    batch_size, learning_rate, steps : int and float
        Of plain SGD, whose batches are drawn without replacement, anew at each step.
    seed : int
        Of weights and batches.
    """
    problem = parity_regression(examples, width, seed)
    start = copy.deepcopy(problem.model.state_dict())
    train_by_sgd(problem, learning_rate, batch_size, steps, seed)
    return problem.with_checkpoints({0: start, steps: problem.model.state_dict()})


def train_by_sgd(problem: Problem, learning_rate: float, batch_size: int, steps: int, seed: int) -> None:
    """Train the problem's own model by plain SGD; each batch is drawn without replacement, anew."""
    ((batch, _),) = problem.batches()
    inputs, targets = batch
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=learning_rate)
    source = generator(seed)
    for _ in range(steps):
        chosen = torch.randperm(len(inputs), generator=source)[:batch_size]
        optimizer.zero_grad()
        problem.loss(problem.model(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()
    optimizer.zero_grad()


def _first(examples: int) -> tuple[Tensor, Tensor]:
    images, labels = digits().train
    flat = images.flatten(1)
    return (flat - flat.mean(0))[:examples], labels[:examples]


def _problem(inputs: Tensor, targets: Tensor, width: int, seed: int) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, targets.shape[1]))
    return Problem(model, half_square, (inputs, targets), name="digits regression")
