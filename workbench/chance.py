"""``chance_loss``: what a problem loses with outputs that do not look at the inputs."""

import torch
from torch import Tensor

from workbench.batches import count_examples
from workbench.problem import Problem

_FLAT = 1e-4  # slope beside the loss up to which it counts as least
_PASSES = 200  # of L-BFGS over the outputs, which costs no pass through the network


@torch.inference_mode(False)
def chance_loss(problem: Problem) -> float:
    """Return the least loss over the data of one output that is the same for all examples.

    Of a classifier with cross entropy it is the entropy of the classes' shares; of a regression with squared
    errors the variance of the targets, as the loss scales it. Of outputs (N, positions, …) each position has
    a constant of its own.

    Parameters
    ----------
    problem : Problem
        Its model returns one tensor whose first dimension is that of the examples, or of their positions.

    Raises
    ------
    ValueError
        If the model's outputs are no such tensor, or no constant has the least loss.

    Notes
    -----
    Cost: a forward pass of one batch for the outputs' shape; the rest is arithmetic on outputs. The data
    is read once, and its targets are held.
    """
    first, _ = next(problem.batches())
    with torch.no_grad():
        like = problem.outputs(problem.parameters(), first)
    if not isinstance(like, Tensor) or like.dim() < 1:
        raise ValueError(
            f"{problem.name}: the model returns a {type(like).__name__}, of which no constant is known: pass "
            "the loss that a run must end under"
        )
    positions = len(like) // max(1, count_examples(first))
    constant = like.new_zeros(like.shape[1:], dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [constant], max_iter=_PASSES, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    # Reading the data may be slow, and the search asks for the loss again and again.
    read = [
        (problem.batch_targets(batch), positions * count_examples(batch), share)
        for batch, share in problem.batches()
    ]

    def loss() -> Tensor:
        total = constant.new_zeros(())
        for targets, rows, share in read:
            outputs = constant.to(like.dtype).expand(rows, *constant.shape)
            total = total + share * problem.target_loss(outputs, targets, problem.parameters()).double()
        return total

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)
        least = closure().detach()
    slope = constant.grad
    if slope is None or not bool(slope.abs().max() <= _FLAT * (1 + least.abs())):
        raise ValueError(
            f"{problem.name}: no constant output was found to have the least loss: pass the loss that a run "
            "must end under"
        )
    return least.item()
