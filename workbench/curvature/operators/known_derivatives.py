"""Functions whose derivatives are stored when a graph is built, in place of what they are computed from."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

from workbench.curvature.operators.dense_layer import Linear
from workbench.curvature.operators.layer_norm import LayerNorm

# Of single entries; torch computes their exponentials anew for each product. (ReLU or tanh are cheap.)
_OF_ENTRIES = (F.gelu, F.silu, F.mish, F.softplus)


class KnownDerivatives(TorchFunctionMode):
    """Inside this context, some layers and functions of single entries are multiplied fast.

    These are layer normalisation, smooth activations, and dense layers.

    Derivatives beyond those asked for are zero or refused, as with a model that differentiates inside:
    compare a product.

    Parameters
    ----------
    twice : bool
        Whether second derivatives in the functions' arguments are wanted, as for a Hessian. For a
        Gauss-Newton matrix first ones are constants.

    Attributes
    ----------
    met : bool
        Whether there was such a function.
    """

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.met = False
        self._twice = twice

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.layer_norm:
            found = self._normalize(*args, **kwargs)
        elif func is F.linear and not self._twice:
            found = self._multiply(*args, **kwargs)
        elif func in _OF_ENTRIES and args:
            found = self._bend(func, *args, **kwargs)
        else:
            return func(*args, **kwargs)
        self.met |= found is not None
        return func(*args, **kwargs) if found is None else found

    def _normalize(
        self,
        input: Tensor,
        normalized_shape: Any,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor | None:
        given = [tensor for tensor in (weight, bias) if tensor is not None]
        if len(normalized_shape) > 1 or not _is_plain(input, *given):
            return None
        weight = input.new_ones(normalized_shape) if weight is None else weight
        bias = input.new_zeros(normalized_shape) if bias is None else bias
        return LayerNorm.apply(input, weight, bias, eps, self._twice)

    def _multiply(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
        given = [weight] if bias is None else [weight, bias]
        if input.dim() < 2 or weight.dim() < 2 or not _is_plain(input, *given):
            return None
        return Linear.apply(input, weight, bias)

    def _bend(self, func: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
        if any(option is True for option in (*args, *kwargs.values())) or not _is_plain(input):  # in place
            return None
        value, slope, curvature = _derivatives(lambda x: func(x, *args, **kwargs), input, self._twice)
        if curvature is not None:
            slope = _Known.apply(input, [slope], curvature)
        return _Known.apply(input, [value], slope)


class _Known(torch.autograd.Function):
    """Values of a function of single entries, with its derivative, which may be known with one itself.

    The values come in a list, as no argument of autograd's: they can be changed in place like any others.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: list[Tensor], slope: Tensor) -> Tensor:
        # A second, empty tensor: a checkpointed block that is computed again without this notices it.
        ctx.save_for_backward(slope, slope.new_empty(0))
        ctx.set_materialize_grads(False)
        return value.pop()

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        slope, _ = ctx.saved_tensors
        return None if g is None else g * slope, None, None


def _derivatives(
    function: Callable[[Tensor], Tensor], x: Tensor, twice: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Values and first derivatives of a function of single entries, and second ones if wanted."""
    x = x.detach().requires_grad_()
    # The hooks keep what is saved on the way from counting as kept.
    with torch.enable_grad(), saved_tensors_hooks(_same, _same):
        value = function(x)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=twice)
        curvature = torch.autograd.grad(slope.sum(), x)[0] if twice else None
    return value.detach(), slope.detach(), curvature


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _is_plain(*tensors: Tensor) -> bool:
    """Whether a graph is wanted, and computed in the one precise dtype of these tensors."""
    first = tensors[0]
    return (
        any(tensor.requires_grad for tensor in tensors)
        and {tensor.dtype for tensor in tensors} in ({torch.float32}, {torch.float64})
        and not torch.is_autocast_enabled(first.device.type)
    )
