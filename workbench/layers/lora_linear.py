"""``LoRALinear``: a linear layer with a low-rank update."""

import torch.nn.functional as F
from torch import Tensor, nn

from workbench.layers.low_rank_layer import LowRankLayer


class LoRALinear(LowRankLayer):
    r"""A frozen ``nn.Linear`` with a low-rank update: y = Wx + bias + sB(A·dropout(x)), s = α / rank.

    LoRA, arXiv 2106.09685, equation 3.

    Parameters
    ----------
    base : nn.Linear
    rank, alpha, dropout
        As those of :class:`~workbench.layers.LowRankLayer`, which says what is refused.
    """

    kind = nn.Linear
    base: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., rows)."""
        merged = self._held_weight()
        if merged is not None:
            return F.linear(x, merged, self.base.bias)
        narrow = F.linear(self.dropout(x), self.lora_a.to(x.dtype)) * self.scale
        return self.base(x) + F.linear(narrow, self.lora_b.to(x.dtype))
