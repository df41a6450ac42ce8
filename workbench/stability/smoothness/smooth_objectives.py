"""Small smooth problems for second-order methods, in float64."""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from workbench.choices import check_count, check_number
from workbench.problem import Problem
from workbench.random_vectors import generator

_CLASSES = 10


def logistic_problem(pair: tuple[int, int] = (3, 8), flipped: float = 0.05, seed: int = 0) -> Problem:
    """Logistic regression of two digits, with a share of the labels flipped so that a minimum exists.

    Starts at zero. Without flipped labels most pairs can be separated: the loss falls to zero at infinity.

    Raises
    ------
    ValueError
        If the digits are not two of 0 to 9, or the share is not in [0, 0.5).
    """
    first, second = pair
    for digit in pair:
        check_count("pair", digit, low=0, high=9)
    if first == second:
        raise ValueError(f"pair={pair}: two different digits are needed")
    check_number("flipped", flipped, low=0, below=0.5)
    images, labels = _digits()
    chosen = (labels == first) | (labels == second)
    inputs, targets = images[chosen], (labels[chosen] == second).double()
    wrong = torch.rand(len(targets), generator=generator(seed), dtype=torch.float64) < flipped
    targets = torch.where(wrong, 1 - targets, targets)
    model = nn.Sequential(_zero(nn.Linear(64, 1, dtype=torch.float64)), nn.Flatten(0))
    return Problem(model, nn.BCEWithLogitsLoss(), [(inputs, targets)], name=f"logistic {first}/{second}")


def softmax_problem(examples: int = 500, seed: int = 0) -> Problem:
    """Softmax regression of some of the digits; starts at zero.

    Raises
    ------
    ValueError
        If there are fewer examples than 10 or more than 1797.
    """
    inputs, targets = _some(examples, seed)
    model = _zero(nn.Linear(64, _CLASSES, dtype=torch.float64))
    return Problem(model, nn.CrossEntropyLoss(), [(inputs, targets)], name="softmax")


def network_problem(width: int = 16, examples: int = 500, seed: int = 0) -> Problem:
    """A network of one hidden layer with tanh on some of the digits: not convex. Starts at random.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    check_count("width", width)
    inputs, targets = _some(examples, seed)
    draws = generator(seed)
    model = nn.Sequential(
        nn.Linear(64, width, dtype=torch.float64), nn.Tanh(), nn.Linear(width, _CLASSES, dtype=torch.float64)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter.shape[1] ** -0.5 if parameter.dim() == 2 else 0.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=draws, dtype=torch.float64))
    return Problem(model, nn.CrossEntropyLoss(), [(inputs, targets)], name=f"network of width {width}")


def log_sum_exp_problem(n: int = 100, terms: int = 500, smoothing: float = 1.0, seed: int = 0) -> Problem:
    r""":math:`\mu \log \sum_i \exp((a_i^\top x - b_i)/\mu)`, a smooth maximum, with its minimum at zero.

    Entries of a and b are uniform in [-1, 1]; a is then shifted so that the gradient at zero vanishes. Starts
    at ones.

    Raises
    ------
    ValueError
        If a number is out of range.

    Source: the first objective of Semenov, Jaggi and Doikov's code (arXiv 2506.13710).
    """
    check_count("n", n)
    check_count("terms", terms, low=2)
    check_number("smoothing", smoothing, above=0)
    draws = generator(seed)
    rows = 2 * torch.rand(terms, n, generator=draws, dtype=torch.float64) - 1
    offsets = 2 * torch.rand(terms, generator=draws, dtype=torch.float64) - 1
    weights = torch.softmax(-offsets / smoothing, 0)
    rows = rows - weights @ rows
    model = _filled(nn.Linear(n, 1, bias=False, dtype=torch.float64), 1.0)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return smoothing * torch.logsumexp((outputs[:, 0] - targets) / smoothing, 0)

    return Problem(model, loss, [(rows, offsets)], weight="batch", name="log-sum-exp")


def weighted_gauss_newton(smoothing: float = 1.0) -> Callable[[Problem], Tensor]:
    r"""Return what makes :math:`A^\top \mathrm{diag}(\pi) A/\mu` (n × n) of :func:`log_sum_exp_problem`.

    It is the Hessian with the outer product of the gradient over :math:`\mu` added, so it becomes the Hessian
    as the gradient vanishes.
    """

    def matrix(problem: Problem) -> Tensor:
        ((rows, offsets), _), *_ = problem.batches()
        with torch.no_grad():
            weights = torch.softmax((problem.model(rows)[:, 0] - offsets) / smoothing, 0)
        return rows.T @ (weights[:, None] * rows) / smoothing

    return matrix


OBJECTIVES: dict[str, Callable[[], Problem]] = {
    "logistic": logistic_problem,
    "softmax": softmax_problem,
    "network": network_problem,
    "log-sum-exp": log_sum_exp_problem,
}


def _digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images / 16), torch.from_numpy(labels.astype(np.int64))


def _some(examples: int, seed: int) -> tuple[Tensor, Tensor]:
    images, labels = _digits()
    check_count("examples", examples, low=10, high=len(labels))
    chosen = torch.randperm(len(labels), generator=generator(seed))[:examples]
    return images[chosen], labels[chosen]


def _zero(layer: nn.Linear) -> nn.Linear:
    return _filled(layer, 0.0)


def _filled(layer: nn.Linear, value: float) -> nn.Linear:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(value)
    return layer
