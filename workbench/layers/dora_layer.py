r"""``DoRALayer``: what the layers with a weight-decomposed low-rank update share."""

import copy
import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from workbench.choices import check_count
from workbench.kernels import dora_norm
from workbench.kernels.dora_norms import squared_norms
from workbench.layers.remembered_value import RememberedValue

_SMALLEST = 1e-12  # norm that is divided by, at least


class DoRALayer(nn.Module):
    r"""A frozen layer, the low-rank update of its weight, and the magnitude of each row of their sum.

    .. math:: W' = m \odot \frac{W + sBA}{\|W + sBA\|_{\text{row}}}, \quad s = \alpha / r

    (DoRA, arXiv 2402.09353, equation 5.) W' is never formed: see :func:`workbench.kernels.dora_norm` and
    :func:`workbench.kernels.dora_compose`.

    Attributes
    ----------
    base : nn.Module
        The frozen layer.
    lora_a : Parameter (rank, *weight.shape[1:])
        A, drawn as PyTorch draws a linear layer's weight. Like B it is float32 (float64 for a float64
        weight), and used in the dtype of W and of the inputs.
    lora_b : Parameter (rows, rank)
        B, zero at first: the layer starts as ``base``.
    magnitude : Parameter (rows,)
        m, float32 (float64 for a float64 weight), at first the norms of the rows of W.
    scale : float
        s.
    """

    base: nn.Linear | nn.Conv2d

    def __init__(
        self,
        base: nn.Linear | nn.Conv2d,
        rank: int,
        alpha: float | None = None,
        *,
        dropout: float = 0.0,
        train_magnitude: bool = True,
        constant_norm: bool = True,
    ) -> None:
        super().__init__()
        check_count("rank", rank)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} is out of range: it must be at least 0 and below 1")
        self.base = base.requires_grad_(False)
        self.rank = rank
        self.scale = (rank if alpha is None else alpha) / rank
        self.constant_norm = constant_norm
        self.dropout = nn.Dropout(dropout)
        weight = base.weight
        exact = weight.dtype if weight.dtype == torch.float64 else torch.float32
        self.lora_a = nn.Parameter(weight.new_empty(rank, *weight.shape[1:], dtype=exact))
        self.lora_b = nn.Parameter(weight.new_zeros(weight.shape[0], rank, dtype=exact))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        magnitude = squared_norms(weight.detach().flatten(1)).sqrt()
        self.magnitude = nn.Parameter(magnitude, requires_grad=train_magnitude)
        self.is_merged = False
        self._squared, self._norm, self._product = (RememberedValue() for _ in range(3))

    def norm(self) -> Tensor:
        """Return the norm of each row of W + sBA (rows,); a constant unless ``constant_norm`` is False.

        In eval mode it is computed once, until W, A or B changes.
        """
        weight = self.base.weight
        if not self.constant_norm and torch.is_grad_enabled():
            return self._compute_norm(None if weight.requires_grad else self._squared_norms())
        with torch.no_grad():
            if self.training:
                return self._compute_norm(self._squared_norms())
            sources = (weight, self.lora_a, self.lora_b)
            return self._norm.get(sources, lambda: self._compute_norm(self._squared_norms()))

    def gain(self) -> Tensor:
        """Return what each row of W + sBA is multiplied by (rows,): its magnitude over its norm."""
        return self.magnitude / self.norm().clamp(min=_SMALLEST)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """Return W' in the shape and dtype of W; rounded to it once."""
        with torch.autocast(self.lora_b.device.type, enabled=False):
            update = (self.lora_b @ self.lora_a.flatten(1)).view_as(self.base.weight)
        gain = self.gain().view(-1, *[1] * (update.ndim - 1))
        return (gain * torch.add(self.base.weight, update, alpha=self.scale)).to(self.base.weight.dtype)

    def merge(self) -> Self:
        """Use W' from now on where that changes nothing: in eval mode, where no gradient is recorded.

        It then costs what ``base`` costs. W' is computed at the first use, and after W, A, B or m has
        changed. W stays as it is, so this takes the memory of one more weight, and unmerging is exact.
        """
        self.is_merged = True
        return self

    def unmerge(self) -> Self:
        """Drop W'."""
        self.is_merged = False
        self._product.forget()
        return self

    def merged_layer(self) -> nn.Linear | nn.Conv2d:
        """Return a plain layer with the weight W', like ``base`` before it was frozen."""
        layer = copy.deepcopy(self.base)
        layer.weight = nn.Parameter(self.merged_weight())
        return layer.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what eval mode remembers is dropped by training."""
        if mode:
            self._norm.forget()
            self._product.forget()
        return super().train(mode)

    def extra_repr(self) -> str:
        """Rank, scale, and what is not by default."""
        frozen = "" if self.magnitude.requires_grad else ", frozen magnitude"
        exact = "" if self.constant_norm else ", differentiated norm"
        return f"rank={self.rank}, scale={self.scale:g}{frozen}{exact}"

    def _held_weight(self) -> Tensor | None:
        """W' where it is to be used."""
        if not self.is_merged or self.training or torch.is_grad_enabled():
            return None
        sources = (self.base.weight, self.lora_a, self.lora_b, self.magnitude)
        return self._product.get(sources, self.merged_weight)

    def _compute_norm(self, squared: Tensor | None) -> Tensor:
        weight = self.base.weight.flatten(1)
        # The factors as forward multiplies them: halves with halves are exact in one product on a GPU.
        a, b = self.lora_a.flatten(1).to(weight.dtype), self.lora_b.to(weight.dtype)
        return dora_norm(weight, a, b, self.scale, squared)

    def _squared_norms(self) -> Tensor:
        weight = self.base.weight
        with torch.no_grad():
            return self._squared.get((weight,), lambda: squared_norms(weight.flatten(1)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        for remembered in (self._squared, self._norm, self._product):
            remembered.forget()  # what is moved need not be held here
        return super()._apply(fn, recurse)
