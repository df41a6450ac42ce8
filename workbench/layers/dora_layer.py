r"""``DoRALayer``: what the layers with a weight-decomposed low-rank update share."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from workbench.kernels import dora_norm
from workbench.kernels.dora_norms import squared_norms
from workbench.layers.low_rank_layer import LowRankLayer
from workbench.layers.remembered_value import RememberedValue

_SMALLEST = 1e-12  # norm that is divided by, at least


class DoRALayer(LowRankLayer):
    r"""A frozen layer, the low-rank update of its weight, and the magnitude of each row of their sum.

    .. math:: W' = m \odot \frac{W + sBA}{\|W + sBA\|_{\text{row}}}, \quad s = \alpha / r

    (DoRA, arXiv 2402.09353, equation 5.) W' is never formed: see :func:`workbench.kernels.dora_norm` and
    :func:`workbench.kernels.dora_compose`.

    Parameters
    ----------
    base, rank, alpha, dropout
        As those of :class:`~workbench.layers.LowRankLayer`, which says what is refused. (The authors' code
        and PEFT's also drop inputs of W in a second product with it.)
    train_magnitude : bool
        False freezes m, and no activation is kept for its gradient.
    constant_norm : bool
        Whether the norm is taken as a constant, as DoRA does (section 4.3). False differentiates it: the
        gradient, and the Hessian, are then those of the loss as a function of A, B and m.

    Attributes
    ----------
    base, lora_a, lora_b, scale
        W, A, B and s, as those of :class:`~workbench.layers.LowRankLayer`.
    magnitude : Parameter (rows,)
        m, float32 (float64 for a float64 weight), at first the norms of the rows of W.
    """

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
        super().__init__(base, rank, alpha, dropout=dropout)
        self.constant_norm = constant_norm
        magnitude = squared_norms(base.weight.detach().flatten(1)).sqrt()
        self.magnitude = nn.Parameter(magnitude, requires_grad=train_magnitude)
        self._squared, self._norm = RememberedValue(), RememberedValue()

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
        total = self._sum()
        gain = self.gain().view(-1, *[1] * (total.ndim - 1))
        return (gain * total).to(self.base.weight.dtype)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what eval mode remembers is dropped by training."""
        if mode:
            self._norm.forget()
        return super().train(mode)

    def extra_repr(self) -> str:
        """Rank, scale, and what is not by default."""
        frozen = "" if self.magnitude.requires_grad else ", frozen magnitude"
        exact = "" if self.constant_norm else ", differentiated norm"
        return f"{super().extra_repr()}{frozen}{exact}"

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
        self._squared.forget()
        self._norm.forget()
        return super()._apply(fn, recurse)
