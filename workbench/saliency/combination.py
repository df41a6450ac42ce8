"""Phase 3: the maps of several layers in one, as a weighted sum or product of normalised maps."""

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.choices import check_choice

RULES = ("sum", "product")
WEIGHTS = ("uniform", "linear", "class_sensitivity")


@dataclasses.dataclass(frozen=True)
class Combination:
    r"""How layers are combined: :math:`\sum_l w_l m_l` or :math:`\prod_l m_l^{w_l}`, with weights of sum 1.

    Each map is resized to the input and stretched to [0, 1] first.

    Attributes
    ----------
    rule : {"sum", "product"}
        A product with uniform weights is a monotone function of the plain product.
    weights : {"uniform", "linear", "class_sensitivity"} or tuple of float
        Alike; growing linearly from 1/L for the first layer named to 1 for the last;
        :math:`\max(0, 1 - r_l)`, where :math:`r_l` is the mean correlation between a layer's maps of the
        classes with the largest and the smallest logit; or one number per layer.
    """

    rule: str = "sum"
    weights: str | tuple[float, ...] = "uniform"

    def __post_init__(self) -> None:
        check_choice("rule", self.rule, RULES)
        if isinstance(self.weights, str):
            check_choice("weights", self.weights, WEIGHTS)

    @property
    def name(self) -> str:
        """For the place of the layer in a table."""
        weights = self.weights if isinstance(self.weights, str) else "given"
        return self.rule if weights == "uniform" else f"{self.rule}, {weights} weights"


def find_combination(combine: Any) -> Combination | None:
    """A combination as it is, or by the word of its rule.

    Raises
    ------
    ValueError
        If the word is none.
    TypeError
        If it is neither.
    """
    if combine is None or isinstance(combine, Combination):
        return combine
    if not isinstance(combine, str):
        raise TypeError(f"combine is a {type(combine).__name__}: pass 'sum', 'product' or a Combination")
    check_choice("combine", combine, RULES)
    return Combination(combine)


def resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (N, T, h, w) of another size, bilinear between the centres of pixels."""
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def stretch(maps: Tensor) -> Tensor:
    """Maps (..., h, w) from 0 to 1; a map that is constant tells no places apart and becomes 1."""
    low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low), 1.0)
