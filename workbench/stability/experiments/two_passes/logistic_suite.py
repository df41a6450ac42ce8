"""Logistic regressions on real data, trained by SGD with many schedules and seeds as one tensor.

Data cards: ``tables.md``, ``digits.md``, ``diabetes.md``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn import datasets
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import softplus

from workbench.progress import still_at_work
from workbench.stability.experiments.two_passes.trainable import Trained, batch_places

PENALTY = 1e-3  # half of it times the squared weights is added to the loss: a minimum where data is separable
_BATCH = 16


@dataclass(frozen=True)
class LogisticRegression:
    """Two classes, standardised features and a constant one; a start at 0.

    Attributes
    ----------
    name : str
    train_set, test_set : (Tensor, Tensor)
        Features (n, d) and labels ±1 in float64.
    base_rates : tuple of float
        To choose from: 1 to 4096 times the inverse of the mean squared norm of the features.
    minimum : float
        Of the loss on the training set, penalty included.
    """

    name: str
    train_set: tuple[Tensor, Tensor]
    test_set: tuple[Tensor, Tensor]
    base_rates: tuple[float, ...]
    minimum: float
    optimizer: ClassVar[str] = "sgd"

    def train(self, rates: np.ndarray, seeds: Sequence[int]) -> Trained:
        """Train with learning rates (settings, seeds, T); the order of the batches is the seed's.

        The loss on the training set is that above its minimum.
        """
        inputs, labels = self.train_set
        settings, _, steps = rates.shape
        places = batch_places(len(labels), _BATCH, steps, seeds)
        sizes = torch.from_numpy(rates).transpose(0, 1)  # seeds first, as the batches
        weights = torch.zeros(len(seeds), settings, inputs.shape[1], dtype=torch.float64)
        norms = torch.empty(len(seeds), settings, steps, dtype=torch.float64)
        for step in range(steps):
            still_at_work()
            rows, signs = inputs[places[:, step]], labels[places[:, step], None]
            margins = signs * (rows @ weights.mT)
            gradient = -(signs * torch.sigmoid(-margins)).mT @ rows / _BATCH + PENALTY * weights
            norms[..., step] = gradient.norm(dim=-1)
            weights -= sizes[..., step, None] * gradient
        values = [_loss(self.train_set, weights) - self.minimum, *_measured(self.test_set, weights)]
        return Trained(torch.stack(values).mT.numpy(), norms.transpose(0, 1).numpy())


def _margins(data: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
    return data[1] * (weights @ data[0].T)


def _loss(data: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
    return softplus(-_margins(data, weights)).mean(-1) + PENALTY / 2 * weights.square().sum(-1)


def _measured(data: tuple[Tensor, Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Loss without penalty, and accuracy."""
    margins = _margins(data, weights)
    return softplus(-margins).mean(-1), (margins > 0).double().mean(-1)


def _minimum(data: tuple[Tensor, Tensor]) -> float:
    """Newton's method with halved steps; converges quadratically, as the penalty makes the loss convex."""
    inputs, _ = data
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64)
    for _ in range(50):
        share = torch.sigmoid(-_margins(data, weights))
        gradient = -inputs.T @ (data[1] * share) / len(inputs) + PENALTY * weights
        curvature = (inputs * (share * (1 - share))[:, None]).T @ inputs / len(inputs)
        curvature += PENALTY * torch.eye(len(weights), dtype=torch.float64)
        direction, size = torch.linalg.solve(curvature, gradient), 1.0
        while size > 1e-6 and _loss(data, weights - size * direction) > _loss(data, weights):
            size /= 2
        weights = weights - size * direction
    return float(_loss(data, weights))


def _problem(name: str, features: np.ndarray, positive: np.ndarray) -> LogisticRegression:
    parts = train_test_split(
        features.astype(float), positive, test_size=0.2, random_state=0, stratify=positive
    )
    mean, deviation = parts[0].mean(0), parts[0].std(0)
    deviation[deviation == 0] = 1
    (train, test), (train_labels, test_labels) = parts[:2], parts[2:]
    sets = [
        (
            torch.from_numpy(np.column_stack([(rows - mean) / deviation, np.ones(len(rows))])),
            torch.from_numpy(np.where(labels, 1.0, -1.0)),
        )
        for rows, labels in ((train, train_labels), (test, test_labels))
    ]
    scale = float(sets[0][0].square().sum(1).mean())
    rates = tuple(4.0**power / scale for power in range(0, 7))
    return LogisticRegression(name, sets[0], sets[1], rates, _minimum(sets[0]))


def _digits(name: str, positive: Sequence[int], among: Sequence[int] = range(10)) -> LogisticRegression:
    images, labels = datasets.load_digits(return_X_y=True)
    chosen = np.isin(labels, among)
    return _problem(name, images[chosen], np.isin(labels[chosen], positive))


def _breast_cancer() -> LogisticRegression:
    features, labels = datasets.load_breast_cancer(return_X_y=True)
    return _problem("breast-cancer", features, labels == 1)


def _wine() -> LogisticRegression:
    features, labels = datasets.load_wine(return_X_y=True)
    return _problem("wine", features, labels == 1)


def _iris() -> LogisticRegression:
    features, labels = datasets.load_iris(return_X_y=True)
    return _problem("iris", features[labels > 0], labels[labels > 0] == 2)


def _diabetes() -> LogisticRegression:
    features, progression = datasets.load_diabetes(return_X_y=True)
    return _problem("diabetes", features, progression > np.median(progression))


LOGISTIC_SUITE: dict[str, Callable[[], LogisticRegression]] = {
    "breast-cancer": _breast_cancer,
    "wine": _wine,
    "iris": _iris,
    "diabetes": _diabetes,
    "digits-parity": lambda: _digits("digits-parity", (1, 3, 5, 7, 9)),
    "digits-large": lambda: _digits("digits-large", (5, 6, 7, 8, 9)),
    "digits-3-8": lambda: _digits("digits-3-8", (3,), (3, 8)),
}
