"""The known methods, as points of one grid: a backward rule, an extraction and an aggregation."""

import dataclasses
from typing import Any

from torch import Tensor, nn

from workbench.choices import check_choice, suggestion
from workbench.saliency.aggregation import AGGREGATIONS, Contribution, aggregate
from workbench.saliency.extraction import EXTRACTIONS, REAL, own_layer

TRUE = "true"  # the rule of the gradient itself
GRADIENTS = ("local", "mean", "sum", "positive")


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to make a map of a layer's activation x and the gradient g of a score.

    Attributes
    ----------
    name : str
    rule : str
        ``"true"`` for the gradient, or the name of a modified one, see ``RULES``.
    extract : str
        Phase 1: ``"bias"``, ``"scaling"``, ``"conv1x1"``, ``"conv3x3"``, ``"conv5x5"``, ``"depthwise3x3"``,
        ``"depthwise5x5"``, or ``"real"``, the network's own convolution.
    aggregate : str
        Phase 2: ``"norm"``, ``"positive_norm"``, ``"sum"``, ``"positive_sum"``, ``"max"`` or ``"abs_max"``.
    formula : str
        The map at a location u, to be read beside it.
    reference : str
        Where it comes from.
    gradient : {"local", "mean", "sum", "positive"}
        What stands for g at each location: itself, its mean or its sum over all locations, or max(g, 0).
    """

    name: str
    rule: str
    extract: str
    aggregate: str
    formula: str = ""
    reference: str = ""
    gradient: str = "local"

    def __post_init__(self) -> None:
        check_choice("extract", self.extract, (*EXTRACTIONS, REAL))
        check_choice("aggregate", self.aggregate, AGGREGATIONS)
        check_choice("gradient", self.gradient, GRADIENTS)

    def contribution(self, x: Tensor, g: Tensor, layer: nn.Module | None = None) -> Contribution:
        """Phase 1 at one layer; ``"real"`` takes what enters the layer for x, and the layer.

        Parameters
        ----------
        x, g : Tensor (N, C, h, w)
            Activation and gradient.
        layer : nn.Module, optional

        Raises
        ------
        ValueError
            If ``"real"`` meets a layer that is no convolution.
        """
        g = _gradient(self.gradient, g)
        return own_layer(layer, x, g) if self.extract == REAL else EXTRACTIONS[self.extract](x, g)

    def map_of(self, x: Tensor, g: Tensor, layer: nn.Module | None = None) -> Tensor:
        """Map (N, h, w) of an activation and a gradient: both phases."""
        return aggregate(self.contribution(x, g, layer), self.aggregate)


def find_method(method: Any) -> Method:
    """A method by name, of an (extract, aggregate) pair, or as it is.

    Raises
    ------
    ValueError
        If there is none of this name.
    TypeError
        If it is none of these.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, tuple) and len(method) == 2:
        extract, aggregate = method
        return Method(f"{extract}+{aggregate}", TRUE, extract, aggregate, f"{aggregate} of {extract}")
    if not isinstance(method, str):
        raise TypeError(f"method is a {type(method).__name__}: pass a name, a Method or (extract, aggregate)")
    if method not in METHODS:
        names = ", ".join(METHODS)
        raise ValueError(f"method {method!r} is none of {names}{suggestion(method, METHODS)}")
    return METHODS[method]


def _gradient(kind: str, g: Tensor) -> Tensor:
    if kind == "mean":
        return g.sum((2, 3), keepdim=True) * (1 / g.shape[2:].numel())  # twice as fast as mean
    if kind == "sum":
        return g.sum((2, 3), keepdim=True)
    return g.relu() if kind == "positive" else g


_NORMGRAD = "Rebuffi, Fong, Ji, Vedaldi, CVPR 2020, arXiv:2004.02866"
_SIMONYAN = "Simonyan, Vedaldi, Zisserman, arXiv:1312.6034"
_METHODS = (
    Method("gradient", TRUE, "bias", "abs_max", "max_c |g|", _SIMONYAN),
    Method("gradient_norm", TRUE, "bias", "norm", "‖g‖", "Li et al., arXiv:1506.01066"),
    Method("gradient_times_input", TRUE, "scaling", "sum", "Σ_c x g", "Shrikumar et al., arXiv:1605.01713"),
    Method("linear_approximation", TRUE, "scaling", "sum", "Σ_c x g", _NORMGRAD),
    Method("grad_cam", TRUE, "scaling", "positive_sum", "max(0, Σ_c x mean(g))",
           "Selvaraju et al., arXiv:1610.02391", "mean"),
    Method("hires_cam", TRUE, "scaling", "sum", "Σ_c x g", "Draelos, Carin, arXiv:2011.08891"),
    Method("layer_cam", TRUE, "scaling", "positive_sum", "max(0, Σ_c x max(g, 0))",
           "Jiang et al., IEEE TIP 30, 2021", "positive"),
    Method("cam", TRUE, "scaling", "sum", "Σ_c x Σ_v g_v", "Zhou et al., arXiv:1512.04150", "sum"),
    Method("norm_grad", TRUE, "conv1x1", "norm", "‖x‖ ‖g‖", _NORMGRAD),
    Method("norm_grad_selective", TRUE, "scaling", "positive_norm", "‖max(x ⊙ g, 0)‖", _NORMGRAD),
    Method("norm_grad_without_virtual_layer", TRUE, REAL, "norm", "‖patch‖ ‖g‖ of the layer's own inputs",
           _NORMGRAD),
    Method("guided", "guided", "bias", "abs_max", "max_c |g|", "Springenberg et al., arXiv:1412.6806"),
    Method("deconvnet", "deconvnet", "bias", "abs_max", "max_c |g|", "Zeiler, Fergus, arXiv:1311.2901"),
    Method("excitation", "excitation", "bias", "sum", "Σ_c p", "Zhang et al., arXiv:1608.00507"),
    Method("contrastive_excitation", "contrastive_excitation", "bias", "positive_sum", "max(0, Σ_c p)",
           "Zhang et al., arXiv:1608.00507"),
    Method("integrated_gradients", "integrated_gradients", "scaling", "sum", "Σ_c (x - x') mean(g)",
           "Sundararajan et al., arXiv:1703.01365"),
    Method("smooth_grad", "smooth_grad", "bias", "abs_max", "max_c |mean(g)|",
           "Smilkov et al., arXiv:1706.03825"),
)  # fmt: skip
METHODS: dict[str, Method] = {method.name: method for method in _METHODS}
