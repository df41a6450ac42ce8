"""Fused functions that cannot be differentiated twice, composed of ones that can.

The fused CPU and CUDA attention kernels have no second derivative. The usual remedies
(``sdpa_kernel``, ``torch.backends.mha.set_fastpath_enabled``) change process-wide flags, which two threads
leave wrong. A function mode belongs to the thread that entered it.

The fused weight normalisation has a second derivative, but on torch 2.13 a wrong one (by 10 to 30 percent).
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)


class Composed(TorchFunctionMode):
    """Inside this context, attention is products and a softmax, weight normalisation a norm and a quotient.

    ``nn.MultiheadAttention`` and ``nn.TransformerEncoderLayer`` leave their fused inference path by
    themselves while any function mode is active.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _attend(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return _attend_multi_head(*args, **kwargs)
        if func is torch._weight_norm:
            return _normalize_weight(*args, **kwargs)
        return func(*args, **kwargs)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    if attn_mask is not None and attn_mask.dtype == torch.bool:  # which would be added as 0 and 1
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, -torch.inf)
    output, _ = torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )
    return output


def _attend_multi_head(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    # Asked for the attention weights, this function computes them by products and a softmax.
    call = _MULTI_HEAD.bind(*args, **kwargs)
    wanted = call.arguments.get("need_weights", True)
    call.arguments["need_weights"] = True
    output, weights = F.multi_head_attention_forward(*call.args, **call.kwargs)
    return output, weights if wanted else None


def _normalize_weight(v: torch.Tensor, g: torch.Tensor, dim: int = 0) -> torch.Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))
