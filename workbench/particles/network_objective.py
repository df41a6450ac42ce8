"""``network_objective``: the loss of a network as an objective of its parameter vector."""

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.batches import Batch
from workbench.choices import check_count
from workbench.problem import Problem


def network_objective(problem: Problem, *, together: int = 64) -> Callable[[Tensor], Tensor]:
    """The loss over the problem's data, as a function of many parameter vectors (..., n) at once.

    The model and the data stay as they are; autograd gives gradients.

    Parameters
    ----------
    problem : Problem
        Its selected parameters are what a point consists of.
    together : int
        Vectors that the network is evaluated for at once (by ``torch.vmap``): more need more memory.

    Notes
    -----
    Cost: one forward pass over the data for each vector.
    """
    check_count("together", together)

    def loss(points: Tensor) -> Tensor:
        total = torch.zeros(points.shape[:-1], dtype=points.dtype, device=points.device)
        for batch, share in problem.batches():
            total = total + share * batch_losses(problem, batch, points, together)
        return total

    loss.__name__ = f"loss of {problem.name}"
    return loss


def batch_losses(problem: Problem, batch: Batch, points: Tensor, together: int = 64) -> Tensor:
    """Losses (...) of one batch for parameter vectors (..., n), in the dtype of the vectors."""

    def alone(theta: Tensor) -> Tensor:
        return problem.evaluate(problem.as_parameters(theta), batch)[1]

    flat = points.reshape(-1, points.shape[-1])
    losses = torch.vmap(alone, chunk_size=together, randomness="error")(flat)
    return losses.reshape(points.shape[:-1]).to(points.dtype)
