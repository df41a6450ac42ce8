"""``HeldModel``: a model that holds given parameters for many batches, and remembers none of them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from workbench.batches import Batch
from workbench.composed import Composed

Attributes = list[tuple[nn.Module, dict[str, Any]]]


class HeldModel:
    """A model while it holds given parameters: :meth:`Problem.hold` hands one out.

    Each loss finds the model as the first one did: tensors that the passes before it stored in modules, and
    what they wrote into buffers, are taken back. Parameters have the values that they have by then, such as
    an optimizer's.

    Parameters
    ----------
    model : nn.Module
        With the parameters in it, and with buffers that are not the user's.
    batch_loss : callable
        Loss () of one batch, by a forward pass of this model.
    """

    def __init__(self, model: nn.Module, batch_loss: Callable[[Batch], Tensor]) -> None:
        self._batch_loss = batch_loss
        self._attributes = keep_attributes(model)
        self._buffers = [
            (module._buffers, name, buffer)
            for module in model.modules()
            for name, buffer in module._buffers.items()
        ]

    def loss(self, batch: Batch) -> Tensor:
        """Loss () of one batch, differentiable in the parameters."""
        take_back_attributes(self._attributes)
        self._renew_buffers()
        with Composed():
            return self._batch_loss(batch)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to the ``.grad`` of the parameters.

        A checkpointed block is computed again as it was in the forward pass.
        """
        with Composed():
            loss.backward()

    def _renew_buffers(self) -> None:
        # Copies, as what is written through ``.data`` leaves no mark; one for all names of a tied buffer.
        copies: dict[int, Tensor] = {}
        for buffers, name, buffer in self._buffers:
            if buffer is not None and id(buffer) not in copies:
                copies[id(buffer)] = buffer.clone()
            buffers[name] = copies.get(id(buffer))


def keep_attributes(model: nn.Module) -> Attributes:
    """Return what all modules hold now, for :func:`take_back_attributes`."""
    return [(module, dict(vars(module))) for module in model.modules()]


def take_back_attributes(before: Attributes) -> None:
    """Take back what a forward pass stored in the modules: weights by hooks, kept activations."""
    for module, attributes in before:
        now = vars(module)
        stored = [
            name
            for name, value in now.items()
            if isinstance(value, Tensor) and attributes.get(name) is not value
        ]
        for name in stored:
            del now[name]
            if name in attributes:
                now[name] = attributes[name]
