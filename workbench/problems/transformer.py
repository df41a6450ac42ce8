"""The transformer block that the built-in transformers share."""

import torch.nn.functional as F
from torch import Tensor, nn

HEAD_WIDTH = 16


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
    """Pre-norm block: LayerNorm, attention, LayerNorm, a GELU layer four times as wide; both residual."""

    def __init__(self, width: int, *, causal: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, causal=causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, positions, width) to the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))
