"""``replayed_gradients``: the gradients of a kernel, by PyTorch's operations in its place."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def replayed_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], grad: Tensor
) -> list[Tensor | None]:
    """Return the gradients to those inputs that need one, differentiable where gradients are recorded now.

    Parameters
    ----------
    function : callable
        The same as the kernel, by PyTorch's operations; it is computed again.
    inputs : sequence of Tensor
        What it takes.
    grad : Tensor
        Gradient to its output.
    """
    again = torch.is_grad_enabled()
    # Without a second derivative the inputs' own graph must not be entered, which may be gone.
    held = [each if again else each.detach().requires_grad_(each.requires_grad) for each in inputs]
    wanted = [each for each in held if each.requires_grad]
    with torch.enable_grad():
        output = function(*held)
        found = iter(torch.autograd.grad(output, wanted, grad, create_graph=again))
    return [next(found) if each.requires_grad else None for each in held]
