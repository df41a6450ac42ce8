"""``explainer``: a frozen request for maps of one kind, to be called on any model."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.saliency.combination import find_combination
from workbench.saliency.explanation import explain
from workbench.saliency.methods import Method, find_method
from workbench.saliency.places import Adapter
from workbench.saliency.scores import SCORES

MapFunction = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Explainer:
    """Makes maps (N, H, W) of the size of the inputs: ``explainer(model, inputs, target)``.

    Attributes
    ----------
    method : Method
    layers : tuple of str
        Several are combined.
    score : str
    combine : str, Combination or None
    adapter : str, callable or None
        See :func:`explain`.
    """

    method: Method
    layers: tuple[str, ...]
    score: str = "logit"
    combine: Any = None
    adapter: str | Adapter | None = None

    def __call__(self, model: nn.Module, inputs: Tensor, target: Any = None) -> Tensor:
        """Maps (N, H, W) of one target per input: None, an int, or N ints."""
        maps = explain(
            model, inputs, target, [self.method], self.layers, self.score, self.combine, adapter=self.adapter
        )
        if maps.targets.shape[1] != 1:
            raise ValueError(f"target has {maps.targets.shape[1]} classes per input: an explainer takes one")
        return maps.maps[-1].sized[:, 0]


def explainer(
    method: str | Method | tuple[str, str],
    layer: str | Sequence[str],
    score: str = "logit",
    *,
    combine: Any = None,
    adapter: str | Adapter | None = None,
) -> Explainer:
    """Freeze a request for maps of one method at one layer, or at several that are combined.

    Raises
    ------
    ValueError
        If a name is unknown, or several layers come without ``combine``.
    """
    check_choice("score", score, SCORES)
    find_combination(combine)
    layers = (layer,) if isinstance(layer, str) else tuple(layer)
    if len(layers) != 1 and combine is None:
        raise ValueError(
            f"{len(layers)} layers make {len(layers)} maps: name one, or say how to combine= them"
        )
    return Explainer(find_method(method), layers, score, combine, adapter)
