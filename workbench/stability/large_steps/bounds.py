r"""How many steps a separation may take at most, from margin and radius.

While an example is on the wrong side, a unit of weight on the examples raises :math:`\|\theta\|^2` by no more
than :math:`\gamma^2 R^2 + 2 \gamma \log(2n - 1)`, and the product of θ with the normal of the widest gap by
:math:`\gamma \mu` at least. By Cauchy and Schwarz that bounds the weight of all steps together: Tyurin's
Theorem 6.1, where a normalised step has the weight 1. A step of gradient descent has the mean of
:math:`\sigma(-m)`, at least 1/(2n), and at an infinite rate at least 1/n.
"""

import math

import torch
from torch import Tensor

from workbench.stability.large_steps.margins import Margins


def budget(margins: Margins, rates: Tensor, examples: int) -> Tensor:
    r"""Weight (sets, k) that all steps together spend at most: :math:`R^2/\mu^2 + 2\log(2n-1)/(\gamma\mu^2)`.

    Tyurin, arXiv 2412.08424, Theorem 6.1, where it counts normalised steps; that it holds for the weight that
    gradient descent spends, too, is derived here. inf where nothing separates.
    """
    pushed = 2 * math.log(2 * examples - 1) / rates
    margin = margins.margin[:, None]
    return torch.where(margin > 0, margins.difficulty[:, None] + pushed / margin.square(), torch.inf)


def most_steps(margins: Margins, rates: Tensor, examples: int) -> Tensor:
    """Steps (sets, 2k) of gradient descent and of the normalised rule, in this order of columns.

    Normalised: the budget. Gradient descent: 2n budgets (derived here); n at an infinite rate, which is the
    bound of the batch perceptron (Theorem 3.3).
    """
    allowed = budget(margins, rates, examples)
    factor = torch.where(rates.isinf(), 1.0, 2.0) * examples
    return torch.cat([factor * allowed, allowed], dim=-1)
