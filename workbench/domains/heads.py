"""The last layer of a classifier under the cross entropy: gradient, Hessian, its diagonal and products.

All are closed forms in the features z of the examples and the probabilities p of their classes, so that they
can be differentiated once more, to the features and whatever made them. A head is a matrix (classes, width)
without bias: :func:`with_ones` gives the features a column for it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def with_ones(features: Tensor) -> Tensor:
    """Append a column of ones to features (..., n, width), which the biases of a head belong to."""
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)


def head_residuals(logits: Tensor, targets: Tensor) -> Tensor:
    """Probabilities less one at the target (..., n, classes): the loss' derivative in the logits."""
    return logits.softmax(-1) - F.one_hot(targets, logits.shape[-1])


def head_gradient(features: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    r"""Gradient (..., classes, width) of the mean cross entropy, :math:`\overline{(p - y) z^\top}`.

    Parameters
    ----------
    features : Tensor (..., n, width)
    logits : Tensor (..., n, classes)
    targets : Tensor (..., n)
        Class indices.
    """
    return head_residuals(logits, targets).mT @ features / features.shape[-2]


def head_product(features: Tensor, logits: Tensor, direction: Tensor) -> Tensor:
    r"""Hessian times a direction V (..., classes, width); no Hessian is made.

    It is :math:`\overline{p \circ (u - \langle p, u \rangle)\, z^\top}` with u = Vz: two products of
    (n × width) and (width × classes).
    """
    p = logits.softmax(-1)
    moved = features @ direction.mT
    return (p * (moved - (p * moved).sum(-1, keepdim=True))).mT @ features / features.shape[-2]


def head_diagonal(features: Tensor, logits: Tensor) -> Tensor:
    r"""Diagonal (..., classes, width) of the Hessian, :math:`\overline{p_k (1 - p_k) z_j^2}`."""
    p = logits.softmax(-1)
    return (p * (1 - p)).mT @ features.square() / features.shape[-2]


def head_hessian(features: Tensor, logits: Tensor) -> Tensor:
    r"""Whole Hessian (..., classes * width, classes * width).

    Its block of two classes is :math:`H_{(k,l)} = \overline{(p_k \delta_{kl} - p_k p_l)\, z z^\top}`: arXiv
    2308.11778 for the softmax. Entries stand in the order of the flattened head (classes, width).
    """
    count, width = features.shape[-2:]
    p = logits.softmax(-1)
    weighted = p[..., None] * features[..., None, :]  # (..., n, classes, width)
    rows = weighted.flatten(-2)
    hessian = -rows.mT @ rows / count
    for k in range(p.shape[-1]):
        part = slice(k * width, (k + 1) * width)
        hessian[..., part, part] += weighted[..., k, :].mT @ features / count
    return hessian


def head_gradient_variance(features: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Variance (..., classes, width) of the examples' own gradients about their mean, entry by entry."""
    residuals = head_residuals(logits, targets)
    second = residuals.square().mT @ features.square() / features.shape[-2]
    return second - head_gradient(features, logits, targets).square()


def hutchinson_diagonal(features: Tensor, logits: Tensor, probes: Tensor) -> Tensor:
    r"""Estimate of the diagonal (..., classes, width), :math:`\frac1m \sum v \circ Hv` over random signs.

    An entry's variance is the sum of the squares of its row off the diagonal, over the number of probes.

    Parameters
    ----------
    features, logits : Tensor (..., n, width) and (..., n, classes)
    probes : Tensor (m, ..., classes, width)
        Entries -1 and 1.
    """
    return (probes * head_product(features, logits, probes)).mean(0)
