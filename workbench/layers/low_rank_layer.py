r"""``LowRankLayer``: what the layers with a low-rank update share, whatever they make of the sum."""

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from workbench.choices import check_count
from workbench.layers.remembered_value import RememberedValue


class LowRankLayer(nn.Module):
    r"""A frozen layer and the low-rank update of its weight, W + sBA with s = α / rank.

    Parameters
    ----------
    base : nn.Module
        Is frozen, its bias too; unfreeze ``base.bias`` to train it.
    rank : int
        Of the update, at least 1.
    alpha : float, optional
        Of the scale α / rank; by default the rank.
    dropout : float
        Probability of zeroing an input of the update.

    Attributes
    ----------
    base : nn.Module
        The frozen layer.
    lora_a : Parameter (rank, *weight.shape[1:])
        A, drawn as PyTorch draws a linear layer's weight. Like B it is float32 (float64 for a float64
        weight), and used in the dtype of W and of the inputs.
    lora_b : Parameter (rows, rank)
        B, zero at first: the layer starts as ``base``.
    scale : float
        s.

    Raises
    ------
    TypeError
        If ``base`` is of another kind than the layer is for.
    ValueError
        If the rank, or the dropout, is out of range.
    """

    kind: ClassVar[type[nn.Module]]  # of ``base``
    base: nn.Linear | nn.Conv2d

    def __init__(
        self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float | None = None, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self._check(base)
        check_count("rank", rank)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} is out of range: it must be at least 0 and below 1")
        self.base = base.requires_grad_(False)
        self.rank = rank
        self.scale = (rank if alpha is None else alpha) / rank
        self.dropout = nn.Dropout(dropout)
        weight = base.weight
        exact = weight.dtype if weight.dtype == torch.float64 else torch.float32
        self.lora_a = nn.Parameter(weight.new_empty(rank, *weight.shape[1:], dtype=exact))
        self.lora_b = nn.Parameter(weight.new_zeros(weight.shape[0], rank, dtype=exact))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        self.is_merged = False
        self._product = RememberedValue()

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """Return the weight that the layer acts with, in the shape and dtype of W; rounded to it once."""
        return self._sum().to(self.base.weight.dtype)

    def merge(self) -> Self:
        """Use the merged weight from now on where that changes nothing: in eval mode without gradients.

        The layer then costs what ``base`` costs. The merged weight is computed at the first use, and after a
        parameter has changed. W stays as it is, so this takes the memory of one more weight, and unmerging is
        exact.
        """
        self.is_merged = True
        return self

    def unmerge(self) -> Self:
        """Drop the merged weight."""
        self.is_merged = False
        self._product.forget()
        return self

    def merged_layer(self) -> nn.Linear | nn.Conv2d:
        """Return a plain layer with the merged weight, like ``base`` before it was frozen."""
        layer = copy.deepcopy(self.base)
        layer.weight = nn.Parameter(self.merged_weight())
        return layer.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what eval mode remembers is dropped by training."""
        if mode:
            self._product.forget()
        return super().train(mode)

    def extra_repr(self) -> str:
        """Rank and scale."""
        return f"rank={self.rank}, scale={self.scale:g}"

    def _check(self, base: nn.Module) -> None:
        """Refuse a base of another kind; a layer that asks for more adds to it."""
        if not isinstance(base, self.kind):
            raise TypeError(f"base is a {type(base).__name__}, not a torch.nn.{self.kind.__name__}")

    def _sum(self) -> Tensor:
        """W + sBA in the shape of W, in the wider of both dtypes."""
        with torch.autocast(self.lora_b.device.type, enabled=False):
            update = (self.lora_b @ self.lora_a.flatten(1)).view_as(self.base.weight)
        return torch.add(self.base.weight, update, alpha=self.scale)

    def _held_weight(self) -> Tensor | None:
        """The merged weight where it is to be used."""
        if not self.is_merged or self.training or torch.is_grad_enabled():
            return None
        sources = (self.base.weight, *self.parameters(recurse=False))
        return self._product.get(sources, self.merged_weight)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self._product.forget()  # what is moved need not be held here
        return super()._apply(fn, recurse)
