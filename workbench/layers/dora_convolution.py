"""``DoRAConv2d``: a convolution with a weight-decomposed low-rank update."""

import torch.nn.functional as F
from torch import Tensor, nn

from workbench.kernels import dora_compose
from workbench.layers.dora_layer import DoRALayer


class DoRAConv2d(DoRALayer):
    r"""A frozen ``nn.Conv2d`` with a weight-decomposed low-rank update.

    A is a convolution like ``base`` to ``rank`` channels, B mixes them into those of ``base``; the rows of W
    are its output channels.

    Parameters
    ----------
    base : nn.Conv2d
        Of one group; is frozen, its bias too.
    rank, alpha, dropout, train_magnitude, constant_norm
        As those of :class:`~workbench.layers.DoRALayer`, which says what is refused.

    Raises
    ------
    ValueError
        If ``base`` has several groups.
    """

    kind = nn.Conv2d
    base: nn.Conv2d

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., channels, height, width) to the same with the channels of ``base``."""
        convolve = self.base._conv_forward  # which knows of strides and of modes of padding
        merged = self._held_weight()
        if merged is not None:
            return convolve(x, merged, self.base.bias)
        base = convolve(x, self.base.weight, None)
        narrow = convolve(self.dropout(x), self.lora_a.to(x.dtype), None) * self.scale
        lora = F.conv2d(narrow, self.lora_b.to(x.dtype)[:, :, None, None])
        last = dora_compose(base.movedim(-3, -1), lora.movedim(-3, -1), self.gain(), self.base.bias)
        return last.movedim(-1, -3)

    def _check(self, base: nn.Module) -> None:
        super()._check(base)
        if base.groups != 1:
            raise ValueError(f"groups={base.groups}: a low-rank update mixes all channels, so it must be 1")
