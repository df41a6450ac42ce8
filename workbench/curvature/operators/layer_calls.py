"""Recording of the dense and convolutional layers that a forward pass goes through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_Operands = tuple[Tensor, Tensor, Tensor | None]  # input, weight, bias
_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer whose weight or bias is among the parameters.

    Attributes
    ----------
    weight, bias : int or None
        Their places among the parameters; None if frozen or absent.
    input, output : Tensor
        As in the forward pass, with their graph.
    values : Tensor
        The weight itself.
    convolution : dict or None
        Keyword arguments of ``conv2d``; None for a dense layer.
    """

    weight: int | None
    bias: int | None
    input: Tensor
    output: Tensor
    values: Tensor
    convolution: dict[str, Any] | None


class RecordLayers(TorchFunctionMode):
    """Inside this context, calls of dense and convolutional layers with these parameters are noted.

    Parameters
    ----------
    parameters : sequence of Tensor
        The very tensors that the layers use.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__()
        self.calls: list[LayerCall] = []
        self._places = {id(parameter): place for place, parameter in enumerate(parameters)}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.linear:
            self._note(_dense(*args, **kwargs), result, None)
        elif func is F.conv2d or func is torch.conv2d:
            named = dict(zip(_CONVOLUTION, args, strict=False)) | kwargs
            options = {name: named[name] for name in _CONVOLUTION[3:] if name in named}
            self._note((named["input"], named["weight"], named.get("bias")), result, options)
        else:
            return result
        return result.clone()  # what follows may write into it, as ReLU(inplace=True) does

    def _note(
        self,
        tensors: tuple[Tensor, Tensor, Tensor | None],
        output: Tensor,
        convolution: dict[str, Any] | None,
    ) -> None:
        input, weight, bias = tensors
        places = self._places.get(id(weight)), self._places.get(id(bias))
        if places != (None, None):
            call = LayerCall(*places, input, output, weight.detach(), convolution)
            self.calls.append(call)


def _dense(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
    return input, weight, bias
