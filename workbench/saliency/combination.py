"""Phase 3: the maps of several layers in one, as a weighted sum or product of normalised maps."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.choices import check_choice
from workbench.saliency.maps import SaliencyMap
from workbench.saliency.pictures import stretch

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
        elif not self.weights or not all(0 <= w < math.inf for w in self.weights) or not any(self.weights):
            raise ValueError(f"weights={self.weights}: they must be finite, not negative, and not all 0")

    @property
    def needs_extremes(self) -> bool:
        """Whether the weights come from the maps of the classes with the largest and the smallest logit."""
        return self.weights == "class_sensitivity"

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


def combine_layers(maps: Sequence[SaliencyMap], combination: Combination, asked: int) -> list[SaliencyMap]:
    """Combine the layers of each method.

    Parameters
    ----------
    maps : sequence of SaliencyMap
        Of all methods and layers, (N, T, h, w).
    combination : Combination
    asked : int
        For class-sensitivity weights, targets ``asked`` and ``asked + 1`` are those of the largest and the
        smallest logit.

    Raises
    ------
    ValueError
        If the number of weights is not that of the layers, or no layer gets a weight.
    """
    combined = []
    for method in dict.fromkeys(each.method for each in maps):
        layers = [each for each in maps if each.method == method]
        weights = layer_weights(combination, layers, asked)
        stretched = torch.stack([stretch(each.sized) for each in layers])
        weighted = torch.tensor(weights).to(stretched).reshape(-1, 1, 1, 1, 1)
        if combination.rule == "sum":
            values = (weighted * stretched).sum(0)
        else:
            values = (stretched**weighted).prod(0)
        parts = ", ".join(f"{w:.3g} {each.layer}" for w, each in zip(weights, layers, strict=True))
        blind = all(each.class_blind for w, each in zip(weights, layers, strict=True) if w)
        combined.append(
            layers[0].replace(
                layer=combination.name,
                formula=f"{combination.rule} of {parts}, each from 0 to 1: {layers[0].formula}",
                raw=values,
                class_blind=blind,
                reason="all the layers that count are class-blind" if blind else "",
                note="",
            )
        )
    return combined


def layer_weights(combination: Combination, layers: Sequence[SaliencyMap], asked: int) -> tuple[float, ...]:
    """Weights of the layers, of sum 1.

    Raises
    ------
    ValueError
        See :func:`combine_layers`.
    """
    count = len(layers)
    if combination.weights == "uniform":
        raw = [1.0] * count
    elif combination.weights == "linear":
        raw = [(1 + i) / count for i in range(count)]
    elif combination.weights == "class_sensitivity":
        raw = [max(0.0, 1 - _class_correlation(each.raw[:, asked:])) for each in layers]
        if not any(raw):
            raise ValueError(
                f"class-sensitivity weights of {layers[0].method!r} are all 0: no layer has maps of the most "
                "and the least likely class that differ and are not constant"
            )
    else:
        raw = [float(w) for w in combination.weights]
        if len(raw) != count:
            raise ValueError(f"{len(raw)} weights for {count} layers: give one for each")
    return tuple(w / sum(raw) for w in raw)


def _class_correlation(extremes: Tensor) -> float:
    """Mean over the inputs of the correlation of their two maps (N, 2, h, w); 1 if it is never defined."""
    flat = extremes.flatten(2).double()
    flat = flat - flat.mean(dim=2, keepdim=True)
    norms = flat.norm(dim=2).prod(dim=1)
    defined = (flat[:, 0] * flat[:, 1]).sum(1)[norms > 0] / norms[norms > 0]
    return float(defined.mean()) if len(defined) else 1.0
