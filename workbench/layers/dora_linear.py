"""``DoRALinear``: a linear layer with a weight-decomposed low-rank update."""

import torch.nn.functional as F
from torch import Tensor, nn

from workbench.kernels import dora_compose
from workbench.layers.dora_layer import DoRALayer


class DoRALinear(DoRALayer):
    r"""A frozen ``nn.Linear`` with a weight-decomposed low-rank update.

    y = g ⊙ (Wx + sB(A·dropout(x))) + bias, with g = m / ‖W + sBA‖ by row.

    Parameters
    ----------
    base : nn.Linear
        Is frozen, its bias too; unfreeze ``base.bias`` to train it.
    rank : int
        Of the update, at least 1.
    alpha : float, optional
        Of the scale α / rank; by default the rank.
    dropout : float
        Probability of zeroing an input of the update. (The authors' code, and PEFT's, also drop inputs of W
        in a second product with it.)
    train_magnitude : bool
        False freezes m, and no activation is kept for its gradient.
    constant_norm : bool
        Whether the norm is taken as a constant, as DoRA does (section 4.3). False differentiates it: the
        gradient, and the Hessian, are then those of the loss as a function of A, B and m.

    Raises
    ------
    TypeError
        If ``base`` is not an ``nn.Linear``.
    ValueError
        If the rank, or the dropout, is out of range.
    """

    kind = nn.Linear
    base: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., rows)."""
        merged = self._held_weight()
        if merged is not None:
            return F.linear(x, merged, self.base.bias)
        base = F.linear(x, self.base.weight)
        # The scale goes into the narrow factor, so that the wide one is written once.
        narrow = F.linear(self.dropout(x), self.lora_a.to(x.dtype)) * self.scale
        return dora_compose(base, F.linear(narrow, self.lora_b.to(x.dtype)), self.gain(), self.base.bias)
