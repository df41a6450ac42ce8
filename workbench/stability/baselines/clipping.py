"""``clipped_step``: a step after torch's clipping of the gradient."""

from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from workbench.stability.updates import parameters_of


def clipped_step(optimizer: Optimizer, longest: float = 1.0) -> float:
    """Clip the gradient over all parameters to a length, then step; returns the length before.

    It bounds the update of plain gradient descent, by the learning rate times ``longest``. An optimizer that
    divides by the size of past gradients, such as Adam, makes updates of its own length all the same.
    """
    before = clip_grad_norm_(parameters_of(optimizer), longest)
    optimizer.step()
    return float(before)
