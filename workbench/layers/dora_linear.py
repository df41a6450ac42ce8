"""``DoRALinear``: a linear layer with a weight-decomposed low-rank update."""

import torch.nn.functional as F
from torch import Tensor, nn

from workbench.kernels import dora_compose
from workbench.kernels.matrix_products import linear
from workbench.layers.dora_layer import DoRALayer


class DoRALinear(DoRALayer):
    r"""A frozen ``nn.Linear`` with a weight-decomposed low-rank update.

    y = g ⊙ (Wx + sB(A·dropout(x))) + bias, with g = m / ‖W + sBA‖ by row.

    Parameters
    ----------
    base : nn.Linear
    rank, alpha, dropout, train_magnitude, constant_norm
        As those of :class:`~workbench.layers.DoRALayer`, which says what is refused.
    """

    kind = nn.Linear
    base: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., rows)."""
        merged = self._held_weight()
        if merged is not None:
            return F.linear(x, merged, self.base.bias)
        base = linear(x, self.base.weight)
        # The scale goes into the narrow factor, so that the wide one is written once.
        narrow = F.linear(self.dropout(x), self.lora_a.to(x.dtype)) * self.scale
        return dora_compose(base, F.linear(narrow, self.lora_b.to(x.dtype)), self.gain(), self.base.bias)
