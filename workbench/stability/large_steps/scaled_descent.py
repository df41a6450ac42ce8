r"""Gradient descent on logistic regression in units of its step size; at an infinite one it is a perceptron.

With margins :math:`m_i = \langle x_i, \theta \rangle` of rows x (examples times their label), a step on the
mean logistic loss is :math:`\theta \leftarrow \theta + \frac\gamma n \sum_i \sigma(-m_i) x_i`. Divided by γ,
with :math:`w = \theta / \gamma`,

.. math:: w \leftarrow w + \frac1n \sum_i \sigma(-\gamma \langle x_i, w \rangle) x_i ,

in which no number grows with γ. Its limit counts every example on the wrong side once: the batch perceptron.
An example on the plane counts half, as all do in the first step from 0.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_number

RULES = ("gradient descent", "normalised")
_NOTHING = 600.0  # exp(-600) is 0 beside anything; denormal numbers would be ten times slower
RATES = (*(10.0**power for power in range(-2, 9)), math.inf)


class Step(NamedTuple):
    r"""What a step did, for each set and column.

    Attributes
    ----------
    weights : Tensor (sets, columns, d)
        :math:`\theta / \gamma` after it.
    margins : Tensor (sets, columns, n)
        Of these weights.
    spent : Tensor (sets, columns)
        Weight of all examples in the step: the mean of :math:`\sigma(-m)`, or 1 if it was normalised.
    ratio : Tensor (sets, columns)
        Length of the step over the exact Taylor radius of the loss along it.
    ratio_bound : Tensor (sets, columns)
        The same over the bound π/Δ of the radius, which does not see the margins.
    """

    weights: Tensor
    margins: Tensor
    spent: Tensor
    ratio: Tensor
    ratio_bound: Tensor


def columns(rates: Tensor) -> tuple[Tensor, Tensor]:
    """Rates (…, 2k) of both rules after each other, and whether a column is normalised (2k,)."""
    normalized = torch.arange(len(RULES)).repeat_interleave(rates.shape[-1]) == 1
    return torch.cat([rates, rates], dim=-1), normalized


def by_rule(values: Tensor) -> np.ndarray:
    """(sets, 2k) as (2, sets, k)."""
    return np.stack([part.numpy() for part in values.chunk(len(RULES), dim=-1)])


def check_rates(rates: Sequence[float]) -> None:
    """Refuse rates that are not positive numbers or inf, and none at all."""
    if not len(rates):
        raise ValueError("rates is empty: name at least one step size")
    for rate in rates:
        check_number("rate", rate, above=0)


def error_shares(margins: Tensor, rates: Tensor) -> Tensor:
    r""":math:`\sigma(-\gamma m)` of margins (…, columns, n) at rates (…, columns); ½ on the plane, always."""
    scaled = _scaled(margins, rates)
    return torch.sigmoid(-scaled).masked_fill(scaled > _NOTHING, 0.0)


def mean_loss(margins: Tensor, rates: Tensor) -> Tensor:
    """Mean logistic loss (…, columns); nan for an infinite rate, which has none."""
    scaled = _scaled(margins, rates)
    loss = (torch.relu(-scaled) + torch.exp(-scaled.abs().clamp(max=_NOTHING)).log1p()).mean(-1)
    return torch.where(rates.isinf(), torch.nan, loss)


def take_step(rows: Tensor, weights: Tensor, margins: Tensor, rates: Tensor, normalized: Tensor) -> Step:
    r"""One step of every column on every set.

    The normalised rule divides the gradient by the mean of :math:`\sigma(-m)` (Tyurin, section 6): the
    weights of the examples then have the sum 1.

    Two classes with the logits 0 and m have the Taylor radius :math:`\sqrt{m^2 + \pi^2} / |\dot m|` along a
    unit direction, and the mean loss has the least of its examples. The ratio of a step to it is therefore
    the largest :math:`|\Delta m_i| / \sqrt{m_i^2 + \pi^2}`: it needs only the margins before and after.

    Parameters
    ----------
    rows : Tensor (sets, n, d)
        Examples times their label.
    weights, margins : Tensor (sets, columns, d) and (sets, columns, n)
        :math:`\theta / \gamma`, and its products with the rows.
    rates : Tensor (columns,) or (sets, columns)
        Step sizes γ, positive, may be inf.
    normalized : Tensor (columns,) of bool
        Which columns follow the normalised rule.

    Notes
    -----
    Cost: a pass forward and one backward over all sets. Radius: Sao, arXiv:2603.13552, Thm. 4.3.
    """
    shares = error_shares(margins, rates)
    spent = shares.mean(-1)
    tiny = torch.finfo(shares.dtype).tiny  # once separated, all shares may round to 0
    scale = torch.where(normalized, spent.clamp(min=tiny), 1.0)[..., None] * rows.shape[1]
    weights = weights + (shares / scale) @ rows
    after = weights @ rows.mT
    change = (after - margins).abs()
    ratios = change / torch.hypot(margins, torch.pi / rates[..., None])  # of each example to its own radius
    return Step(
        weights,
        after,
        torch.where(normalized, 1.0, spent),
        torch.where(change > 0, ratios, 0.0).amax(-1),
        change.amax(-1) * rates / torch.pi,
    )


def _scaled(margins: Tensor, rates: Tensor) -> Tensor:
    """The margins at θ: γ times those at θ/γ; 0 stays 0."""
    return (rates[..., None] * margins).nan_to_num(0.0, math.inf, -math.inf)
