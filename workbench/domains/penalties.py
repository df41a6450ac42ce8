"""What each method adds to the mean loss of the training environments, from features and logits of the head.

All but that of IRM are spreads: the mean over the environments of the squared distance of some statistic
from its mean (of Hessian times gradient: from its value for the mean loss), which is held constant; about a
mean that changes no gradient. They are zero for environments that are the same; IRM's is zero where no
environment wants its logits larger or smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.domains.heads import (
    head_diagonal,
    head_gradient,
    head_gradient_variance,
    head_product,
    head_residuals,
    hutchinson_diagonal,
)


@dataclass(frozen=True)
class HeadState:
    """What a network makes of the examples of E environments of equal size.

    Attributes
    ----------
    features : Tensor (..., E, n, width)
        What the last layer gets, with a column of ones for its bias.
    logits : Tensor (..., E, n, classes)
    targets : Tensor (..., E, n)
        Class indices.
    """

    features: Tensor
    logits: Tensor
    targets: Tensor

    def risks(self) -> Tensor:
        """Mean cross entropy (..., E) of each environment."""
        losses = F.cross_entropy(self.logits.flatten(0, -2), self.targets.flatten(), reduction="none")
        return losses.view(self.targets.shape).mean(-1)

    def gradients(self) -> Tensor:
        """Gradient of the head (..., E, classes, width) of each environment."""
        return head_gradient(self.features, self.logits, self.targets)


Penalty = Callable[[HeadState], Tensor]


def no_penalty(state: HeadState) -> Tensor:
    """Zero: empirical risk minimisation."""
    return torch.zeros(state.targets.shape[:-2])


def coral(state: HeadState) -> Tensor:
    """Spread of means and covariances of the features: CORAL (arXiv 1607.01719), with means added."""
    mean = state.features.mean(-2, keepdim=True)
    centred = state.features - mean
    covariance = centred.mT @ centred / centred.shape[-2]
    return _spread_about_mean(mean) + _spread_about_mean(covariance)


def irm(state: HeadState) -> Tensor:
    """Mean square of the derivative of the risk in a factor of the logits, at 1: IRMv1 (arXiv 1907.02893)."""
    slopes = (head_residuals(state.logits, state.targets) * state.logits).sum(-1).mean(-1)
    return slopes.square().mean(-1)


def vrex(state: HeadState) -> Tensor:
    """Variance of the risks: V-REx (arXiv 2003.00688)."""
    return state.risks().var(-1, correction=0)


def gradient_matching(state: HeadState) -> Tensor:
    """Spread of the head's gradients: what is left of Hessian alignment at α = 0.

    Fish (arXiv 2104.09937) rewards the inner product of gradients: half the sum of their squared norms less
    half the squared distance. The distance alone is zero for environments that are the same.
    """
    return _spread_about_mean(state.gradients())


def fishr(state: HeadState) -> Tensor:
    """Spread of the variances of the examples' gradients: Fishr (arXiv 2109.02934), on the head."""
    return _spread_about_mean(head_gradient_variance(state.features, state.logits, state.targets))


def gradient_product(state: HeadState) -> Tensor:
    """Spread of Hessian times gradient, and of the gradients: HGP of arXiv 2308.11778, with α = β = 1.

    The paper's product is the norm of the gradient times the gradient of that norm, which is the same vector.
    That of the mean loss is not the mean of the products.
    """
    gradients = state.gradients()
    products = head_product(state.features, state.logits, gradients)
    mean_gradient = gradients.mean(-3, keepdim=True).expand_as(gradients)
    of_mean = head_product(state.features, state.logits, mean_gradient).mean(-3, keepdim=True)
    return _spread(products, of_mean) + _spread_about_mean(gradients)


def diagonal_matching(state: HeadState) -> Tensor:
    """Spread of the Hessian's exact diagonals, and of the gradients, with α = β = 1.

    What the paper's Hutchinson method estimates.
    """
    return _spread_about_mean(head_diagonal(state.features, state.logits)) + gradient_matching(state)


def estimated_diagonal_matching(state: HeadState, probes: Tensor) -> Tensor:
    """:func:`diagonal_matching` with Hutchinson's estimates: Hutchinson of arXiv 2308.11778.

    Parameters
    ----------
    state : HeadState
    probes : Tensor (m, ..., E, classes, width)
        Random signs; 1 in place of E gives all environments the same ones.
    """
    estimates = hutchinson_diagonal(state.features, state.logits, probes)
    return _spread_about_mean(estimates) + gradient_matching(state)


PENALTIES: dict[str, Penalty] = {
    "erm": no_penalty,
    "coral": coral,
    "irm": irm,
    "vrex": vrex,
    "gradient": gradient_matching,
    "fishr": fishr,
    "hgp": gradient_product,
    "hessian": diagonal_matching,
}


def _spread(each: Tensor, centre: Tensor) -> Tensor:
    """Mean over environments (..., E, rows, columns) of squared distances from a centre held constant."""
    return (each - centre.detach()).square().sum((-2, -1)).mean(-1)


def _spread_about_mean(each: Tensor) -> Tensor:
    return _spread(each, each.mean(-3, keepdim=True))
