"""Watching what a forward pass in forward mode does in its layers with singularities."""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workbench.stability.forward_mode import split_dual
from workbench.stability.radii import logit_radius
from workbench.stability.singularities import SINGULARITIES, has_no_singularity

_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


class Observer(TorchFunctionMode):
    """Inside this context, each call of a layer with singularities notes how far the nearest one is.

    Attributes
    ----------
    distances : dict
        Tensors of distances, float64 and flat, by (name of the module, kind).
    called : dict
        Modules that were called, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.distances: dict[tuple[str, str], list[Tensor]] = {}
        self.called: dict[str, nn.Module] = {}
        self._names: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in SINGULARITIES:
            self._note_layer(func, args, dict(kwargs))  # before the call, which may write into its input
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._attend(args, kwargs)
        result = func(*args, **kwargs)
        if func is torch.ops.aten._scaled_dot_product_attention_math:
            self._note_softmax("attention", result[1], -1)
        elif func in _SOFTMAX:
            self._note_softmax("softmax", result, _dimension(args, kwargs))
        return result

    @contextmanager
    def naming(self, model: nn.Module) -> Iterator[None]:
        """Know the names of this model's modules, by hooks that are gone afterwards."""
        thread = threading.get_ident()  # another one may use the model meanwhile
        handles = []

        def enter(name: str) -> Callable[..., None]:
            def note(module: nn.Module, _: Any) -> None:
                if threading.get_ident() == thread:
                    self._names.append(name)
                    self.called[name] = module

            return note

        def leave(*_: Any) -> None:
            if threading.get_ident() == thread and self._names:
                self._names.pop()

        try:
            for name, module in model.named_modules():
                handles.append(module.register_forward_pre_hook(enter(name)))
                handles.append(module.register_forward_hook(leave, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def not_looked_at(self) -> set[str]:
        """Classes of the innermost modules that may have a singularity, or a kink, and none that is known."""
        seen = {name for name, _ in self.distances}
        return {
            type(module).__name__
            for name, module in self.called.items()
            if name not in seen and not any(module.children()) and not has_no_singularity(module)
        }

    def _note_layer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kind, distance = SINGULARITIES[func]
        tensor = args[0] if args else kwargs.pop("input")
        h, change = (part.double() for part in split_dual(tensor))
        kwargs.pop("inplace", None)
        if func is F.rms_norm:
            kwargs["dtype"] = tensor.dtype
        if kind == "GELU":
            kind = "GELU (tanh form)" if kwargs.get("approximate", "none") == "tanh" else "GELU (exact)"
        # 0 / 0 at a kink that does not move
        self._add(kind, distance(h, change, *args[1:], **kwargs).nan_to_num(torch.inf, torch.inf))

    def _attend(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """Call multi-head attention for the weights of each head."""
        call = _MULTI_HEAD.bind(*args, **kwargs)
        wanted = call.arguments.get("need_weights", True)
        averaged = call.arguments.get("average_attn_weights", True)
        call.arguments.update(need_weights=True, average_attn_weights=False)
        output, weights = F.multi_head_attention_forward(*call.args, **call.kwargs)
        assert weights is not None
        self._note_softmax("attention", weights, -1)
        if not wanted:
            return output, None
        return output, weights.mean(-3) if averaged else weights

    def _note_softmax(self, kind: str, probabilities: Tensor, dim: int) -> None:
        """Log-probabilities are scores up to a constant, which moves no zero."""
        p, change = (part.double().movedim(dim, -1).flatten(0, -2) for part in split_dual(probabilities))
        slopes = torch.where(p > 0, change / p, 0.0)
        self._add(kind, logit_radius(p.log(), slopes, "spread").radius)

    def _add(self, kind: str, distances: Tensor) -> None:
        name = self._names[-1] if self._names else ""
        self.distances.setdefault((name, kind), []).append(distances.flatten().cpu())


def _dimension(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    dim = args[1] if len(args) > 1 else kwargs.get("dim")
    if dim is None:
        raise ValueError("a softmax without dim= cannot be analysed: pass dim=-1")
    return int(dim)
