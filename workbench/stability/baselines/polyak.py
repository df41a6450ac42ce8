"""``polyak_step``: gradient descent with the step that would reach a known lowest loss, were it linear."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from workbench.stability.updates import length


@torch.no_grad()
def polyak_step(
    parameters: Iterable[Tensor], loss: float, *, lowest: float = 0.0, largest: float = math.inf
) -> float:
    r"""Step by :math:`-\eta g` with :math:`\eta = (L - L^*) / \|g\|^2`; returns the rate :math:`\eta`.

    On minibatches this is the stochastic Polyak step, where ``largest`` is what keeps it from steps that are
    far too long (Polyak 1987; Loizou et al., arXiv:2002.10542, with c = 1).

    Parameters
    ----------
    parameters : iterable of Tensor
        With their gradients in ``.grad``.
    loss : float
        The loss L that the gradients are of.
    lowest : float
        Its lowest value; 0 is right for a network that can interpolate.
    largest : float
        Largest rate.

    Raises
    ------
    ValueError
        If the loss is below ``lowest`` or is not finite.
    """
    if not lowest <= loss < math.inf:
        raise ValueError(f"loss={loss} is out of range: it must be finite and at least lowest={lowest}")
    moving = [parameter for parameter in parameters if parameter.grad is not None]
    square = length([parameter.grad for parameter in moving if parameter.grad is not None]) ** 2
    if not square:
        return 0.0
    rate = min((loss - lowest) / square, largest)
    for parameter in moving:
        assert parameter.grad is not None
        parameter.add_(parameter.grad, alpha=-rate)
    return rate
