"""The transformer block that the built-in transformers share."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from workbench.kernels import feature_attention, norm_features
from workbench.layers import feature_maps, linear_self_attention, norm_aware_attention, rotation
from workbench.layers.linear_self_attention import LinearSelfAttention
from workbench.layers.norm_aware_attention import NormAwareAttention

HEAD_WIDTH = 16
AttentionKind = Literal["softmax", "elu", "norm-aware", "cosine", "nalaformer"]
ATTENTION_KINDS = ("softmax", "elu", "norm-aware", "cosine", "nalaformer")

# The files by which a network that was trained with linear attention is known again.
_LINEAR = (
    feature_attention, norm_features, feature_maps, linear_self_attention, norm_aware_attention, rotation
)  # fmt: skip


class Attention(nn.Module):
    """Self-attention with heads of 16 channels, through ``F.scaled_dot_product_attention``."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, positions, width) to the same shape."""
        examples, positions, width = x.shape
        heads = self.queries_keys_values(x).view(examples, positions, 3, width // HEAD_WIDTH, HEAD_WIDTH)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=self.causal)
        return self.output(mixed.transpose(1, 2).reshape(examples, positions, width))


class Block(nn.Module):
    """Pre-norm block: LayerNorm, attention, LayerNorm, a GELU layer four times as wide; both residual.

    ``kind`` is one of ``ATTENTION_KINDS``; ``grid`` is where the tokens stand for ``"nalaformer"``.
    """

    def __init__(
        self,
        width: int,
        *,
        causal: bool = False,
        kind: str = "softmax",
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = _attention(width, causal, kind, grid)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, positions, width) to the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def sources(kind: str) -> list[str]:
    """Files with the code of a block, by which a trained network is known again."""
    return [__file__] if kind == "softmax" else [__file__, *(str(module.__file__) for module in _LINEAR)]


def _attention(width: int, causal: bool, kind: str, grid: tuple[int, int] | None) -> nn.Module:
    if kind == "softmax":
        return Attention(width, causal=causal)
    heads = width // HEAD_WIDTH
    if kind == "nalaformer":
        return NormAwareAttention(width, heads, grid=grid, causal=causal, rotary=True)
    return LinearSelfAttention(width, heads, kind, causal=causal)
