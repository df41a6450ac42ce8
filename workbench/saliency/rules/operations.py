"""What excitation backprop must know of a forward pass: the linear maps, sums and norms that it went through.

The autograd graph has a node for each, but the node keeps what the operation saw only where a true gradient
needs it.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from workbench.saliency.rules.propagation import Gradients, replaced

_MATRIX = ("AddmmBackward0", "MmBackward0", "BmmBackward0")
_AVERAGE = (
    "MeanBackward0", "MeanBackward1", "SumBackward0", "SumBackward1", "AvgPool2DBackward0",
    "AvgPool3DBackward0", "AdaptiveAvgPool2DBackward0", "AdaptiveAvgPool3DBackward0",
)  # fmt: skip
_NORM = ("NativeBatchNormBackward0", "CudnnBatchNormBackward0", "MiopenBatchNormBackward0")
_ADD = ("AddBackward0",)
# One operation may leave these behind the node that does its work.
_LAYOUT = (
    "ViewBackward0", "UnsafeViewBackward0", "SqueezeBackward0", "SqueezeBackward1", "AsStridedBackward0",
    "AsStridedBackward1",
)  # fmt: skip


@dataclasses.dataclass
class LinearMap:
    r"""A linear map without its bias: of its inputs, a share :math:`w^+_{ij} x^+_j` of what each output gets.

    Attributes
    ----------
    x : Tensor
        What the map saw.
    weight : Tensor or None
        The first axis counts outputs; None for averages and sums.
    apply : callable
        ``apply(x, weight)``.
    nodes : tuple of str
        Names that its node may have.
    sign : Tensor (outputs,), optional
        Signs of the scales of a batch norm behind it, which belong to the weight.
    """

    x: Tensor
    weight: Tensor | None
    apply: Callable[[Tensor, Tensor | None], Tensor]
    nodes: tuple[str, ...]
    sign: Tensor | None = None

    def __post_init__(self) -> None:
        self._version = self.x._version
        self._positive: dict[bool, tuple[Tensor, Tensor]] = {}

    def takes_norm(self, output: Tensor) -> bool:
        """Whether a batch norm of its output can be folded in: the channels are the map's outputs."""
        return self.sign is None and self.nodes != _NORM and (self.nodes != _MATRIX or output.dim() == 2)

    def share(self, p: Tensor, *, negated: bool = False) -> Tensor:
        r"""Send p of the outputs to the inputs: :math:`x^+_j \sum_i w^+_{ij} p_i / \sum_k w^+_{ik} x^+_k`.

        With ``negated``, the weights change sign before. An output whose sum is 0 sends nothing.
        """
        x, z = self._positive_part(negated)
        p = p.reshape(z.shape).to(z.dtype)
        ratio = torch.where(z > torch.finfo(z.dtype).tiny, p / z, 0)
        (back,) = torch.autograd.grad(z, x, ratio, retain_graph=True)
        return x.detach() * back

    def replacement(self, inputs: Gradients, outputs: Gradients) -> Gradients:
        """The rule at its node."""
        return self.replaced(inputs, self.share(outputs[0])) if outputs[0] is not None else inputs

    def replaced(self, inputs: Gradients, value: Tensor) -> Gradients:
        """The value in the place of x among the inputs of its node."""
        return replaced(inputs, value, 1 if len(inputs) == 3 and self.nodes == _MATRIX else 0)

    def _positive_part(self, negated: bool) -> tuple[Tensor, Tensor]:
        """Positive part of x, and what the positive weights make of it; kept for further targets."""
        if negated not in self._positive:
            if self.x._version != self._version:
                raise ValueError(
                    f"a tensor {tuple(self.x.shape)} was overwritten in place after a layer had read it, so "
                    "its excitation is lost: write the model without that operation in place"
                )
            dtype = torch.promote_types(self.x.dtype, torch.float32)
            with torch.enable_grad():
                x = self.x.detach().to(dtype).clamp(min=0).requires_grad_()
                self._positive[negated] = x, self.apply(x, self._positive_weight(negated, dtype))
        return self._positive[negated]

    def _positive_weight(self, negated: bool, dtype: torch.dtype) -> Tensor | None:
        if self.weight is None:
            return None
        weight = self.weight.detach().to(dtype)
        if self.sign is not None:
            weight = weight * self.sign.to(dtype).view(-1, *[1] * (weight.dim() - 1))
        return (-weight if negated else weight).clamp(min=0)


@dataclasses.dataclass
class Addition:
    """A sum of two tensors, each of which gets p in proportion to its positive part."""

    parts: tuple[Tensor, Tensor]
    nodes: tuple[str, ...] = _ADD

    def replacement(self, inputs: Gradients, outputs: Gradients) -> Gradients:
        """The rule at its node."""
        p = outputs[0]
        if p is None:
            return inputs
        total = self.parts[0] + self.parts[1]
        ratio = torch.where(total > torch.finfo(total.dtype).tiny, p / total, 0)
        for place, part in enumerate(self.parts):
            if inputs[place] is not None:
                inputs = replaced(inputs, (part * ratio).sum_to_size(part.shape), place)
        return inputs


@dataclasses.dataclass
class Passage:
    """An operation that sends each p on as it is, such as a rectifier, or an addition of a constant."""

    nodes: tuple[str, ...] = ()

    def replacement(self, inputs: Gradients, outputs: Gradients) -> Gradients:
        """The rule at its node."""
        p = outputs[0]
        if p is None:
            return inputs
        place = next(i for i, each in enumerate(inputs) if each is not None)
        old = inputs[place]
        assert old is not None
        return replaced(inputs, p.sum_to_size(old.shape), place)


Operation = LinearMap | Addition | Passage


class Operations(TorchFunctionMode):
    """Within this context, the operations of a forward pass are noted, by their nodes in the autograd graph.

    Parameters
    ----------
    inputs : Tensor
        What the model is called with. What is computed from it gets a share of p where it is added to
        something; constants and what is computed from parameters alone get none.

    Attributes
    ----------
    found : dict of Operation
        It holds what the operations saw until this object goes.
    """

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.found: dict[Any, Operation] = {}
        # What depends on what is noted here, too: the graph begins with the first layer asked for only.
        self._from_inputs = WeakTensorKeyDictionary({inputs: True})
        self._made_by = WeakTensorKeyDictionary()  # a tensor: the layer with weights that returned it

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Read before the call, which may overwrite its operands.
        operation = self._read(func, args, kwargs)
        maker = self._made_by.get(args[0]) if func in _COPIES else operation
        result = func(*args, **kwargs)
        if any(each in self._from_inputs for each in _tensors((args, *kwargs.values()))):
            for each in _tensors(result):
                self._from_inputs[each] = True
        if isinstance(result, Tensor):
            self._made_by.pop(result, None)  # it may have been overwritten
            if isinstance(maker, LinearMap) and maker.weight is not None:
                self._made_by[result] = maker
            if operation is not None:
                self._note(operation, result)
        return result

    def _read(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Operation | None:
        if func is F.linear:
            return _dense(*args, **kwargs)
        if func in _CONVOLUTIONS:
            return _convolution(func, *args, **kwargs)
        if func in _AVERAGES:
            return _average(func, *args, **kwargs)
        if func in _ADDITIONS:
            return self._addition(*args, **kwargs)
        if func is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        return None

    def _note(self, operation: Operation, result: Tensor) -> None:
        node = result.grad_fn
        while node is not None and node.name() not in operation.nodes:
            if node.name() in _ADD and isinstance(operation, LinearMap):
                self.found[node] = Passage()  # the bias of a dense layer
            elif node.name() not in _LAYOUT:
                return
            node = node.next_functions[0][0]
        if node is not None:
            self.found.setdefault(node, operation)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Operation | None:
        """Folded into the map in front of it, whose weights it scales; only the signs of the scales matter.

        Behind anything else it is a scaling of its own.
        """
        if training or running_var is None:
            return None
        scale = (running_var + eps).rsqrt() * (1 if weight is None else weight.detach())
        before = self._made_by.get(input)
        if before is not None and before.takes_norm(input):
            before.sign = scale.sign()
            return Passage(_NORM)

        def apply(x: Tensor, weight: Tensor | None) -> Tensor:
            assert weight is not None
            return x * weight.view(-1, *[1] * (x.dim() - 2))

        return LinearMap(input.detach(), scale, apply, _NORM)

    def _addition(
        self, input: Any, other: Any, *, alpha: float = 1, out: Tensor | None = None
    ) -> Operation | None:
        if alpha != 1 or out is not None:
            return None
        if not all(isinstance(each, Tensor) and each in self._from_inputs for each in (input, other)):
            return Passage(_ADD)
        dtype = torch.promote_types(torch.result_type(input, other), torch.float32)
        return Addition((input.detach().to(dtype).clamp(min=0), other.detach().to(dtype).clamp(min=0)))


def behind_copies(node: Any) -> Any:
    """The node that made what a node copies: a layer that is captured hands on a copy."""
    while node is not None and node.name() == "CloneBackward0":
        node = node.next_functions[0][0]
    return node


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for each in values:
            yield from _tensors(each)


def _dense(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Operation:
    return LinearMap(input.detach(), weight, F.linear, _MATRIX)  # type: ignore[arg-type]


def _convolution(
    func: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **options: Any,
) -> Operation:
    return LinearMap(
        input.detach(),
        weight,
        lambda x, weight: func(x, weight, None, *args, **options),
        ("ConvolutionBackward0",),
    )


def _average(func: Callable[..., Tensor], input: Tensor, *args: Any, **options: Any) -> Operation:
    return LinearMap(input.detach(), None, lambda x, _: func(x, *args, **options), _AVERAGE)


_COPIES = {Tensor.clone, Tensor.detach, Tensor.requires_grad_}
_CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d}
_AVERAGES = {
    F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d,
    F.adaptive_avg_pool3d, torch.mean, torch.sum, Tensor.mean, Tensor.sum,
}  # fmt: skip
_ADDITIONS = {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__}
