"""Where in its input has a score its reasons? One framework for maps by backpropagation."""

from workbench.saliency.combination import Combination
from workbench.saliency.explainers import Explainer, MapFunction, explainer
from workbench.saliency.explanation import explain
from workbench.saliency.maps import SaliencyMap, SaliencyMaps
from workbench.saliency.methods import METHODS, Method

__all__ = [
    "METHODS",
    "Combination",
    "Explainer",
    "MapFunction",
    "Method",
    "SaliencyMap",
    "SaliencyMaps",
    "explain",
    "explainer",
]
