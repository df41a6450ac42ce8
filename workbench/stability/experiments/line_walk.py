"""A walk along a line from a trained network: the loss and the decisions at each distance."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.problem import Problem
from workbench.stability.radii import KINDS
from workbench.stability.scales import Radii, radii_along

DOUBLED = 2.0  # loss over its start at which a step counts as one that did not hold
HALVED = 0.5  # accuracy over its start, likewise


class Walk(NamedTuple):
    """What a network does at each distance from its start.

    Attributes
    ----------
    loss_ratio : ndarray (points,)
        Loss over that at the start; inf where it is not finite.
    accuracy : ndarray (points,)
        Share of the examples that are classified right.
    flips : ndarray (points,)
        Share whose likeliest class is not that at the start.
    start_loss, start_accuracy : float
        At distance 0.
    """

    loss_ratio: np.ndarray
    accuracy: np.ndarray
    flips: np.ndarray
    start_loss: float
    start_accuracy: float


def walk(problem: Problem, unit: Tensor, distances: np.ndarray) -> Walk:
    """Evaluate a classifier at ``theta + distance * unit``; one forward pass over the data for each point."""
    theta = problem.parameters_vector()
    start_loss, start, targets = _look(problem, theta)
    losses, decisions = [], []
    for distance in distances:
        there, choice, _ = _look(problem, theta + float(distance) * unit)
        losses.append(there)
        decisions.append(choice)
    decided = torch.stack(decisions)
    loss = np.array(losses)
    return Walk(
        loss_ratio=np.where(np.isfinite(loss), loss, np.inf) / start_loss,
        accuracy=(decided == targets).double().mean(1).numpy(),
        flips=(decided != start).double().mean(1).numpy(),
        start_loss=start_loss,
        start_accuracy=float((start == targets).double().mean()),
    )


class Descent(NamedTuple):
    """A walk against a unit vector, to multiples of the ``spread`` radius along it.

    Attributes
    ----------
    radii : Radii
        Along the vector.
    distances : ndarray (points,)
        In the space of the parameters.
    walk : Walk
        At those.
    """

    radii: Radii
    distances: np.ndarray
    walk: Walk


def descend(problem: Problem, unit: Tensor, ratio: np.ndarray) -> Descent:
    """Walk against a unit vector (n,), each distance one of these multiples of its ``spread`` radius.

    Cost: a forward-mode pass over the data, and a forward pass for each distance.
    """
    radii = radii_along(problem, unit)
    distances = ratio * radii.spread
    return Descent(radii, distances, walk(problem, -unit, distances))


def unit_gradient(problem: Problem) -> Tensor:
    """The gradient (n,) over the data, divided by its length."""
    gradient = problem.gradient()
    return gradient / gradient.norm()


def radii_columns(descents: Iterable[Descent]) -> dict[str, np.ndarray]:
    """Radii of some descents (runs,) by kind: ``spread``, ``majority`` and ``exact``."""
    radii = [each.radii for each in descents]
    return {kind: np.array([getattr(each, kind) for each in radii]) for kind in KINDS}


@torch.no_grad()
def _look(problem: Problem, theta: Tensor) -> tuple[float, Tensor, Tensor]:
    """Loss over the data, the likeliest class of each example, and the right one."""
    parameters = problem.as_parameters(theta)
    total, decided, targets = 0.0, [], []
    for batch, share in problem.batches():
        outputs, loss = problem.evaluate(parameters, batch)
        total += share * float(loss)
        decided.append(outputs.argmax(1).cpu())
        targets.append(problem.batch_targets(batch).cpu())
    return total, torch.cat(decided), torch.cat(targets)


def onset(distances: np.ndarray, values: np.ndarray, threshold: float) -> float:
    """First distance at which values that start below a threshold reach it; inf if none does.

    Between two points the logarithm of the distance is interpolated linearly in the value. If already the
    first point is there, that is the answer: the onset is no later.
    """
    there = np.flatnonzero(values >= threshold)
    if not len(there):
        return np.inf
    after = int(there[0])
    if after == 0 or not np.isfinite(values[after]):
        return float(distances[after])
    low, high = values[after - 1], values[after]
    part = (threshold - low) / (high - low)
    return float(np.exp(np.interp(part, [0, 1], np.log(distances[after - 1 : after + 1]))))


def log_grid(points: int, low: float = 0.01, high: float = 100.0) -> np.ndarray:
    """Ratios from ``low`` to ``high``, equally far apart in their logarithm."""
    check_count("points", points, low=5)
    return np.geomspace(low, high, points)
