"""Where in its input has a score its reasons? One framework for maps by backpropagation."""

from workbench.saliency.combination import Combination
from workbench.saliency.explainers import Explainer, MapFunction, explainer
from workbench.saliency.explanation import explain
from workbench.saliency.maps import SaliencyMap, SaliencyMaps
from workbench.saliency.methods import METHODS, Method
from workbench.saliency.token_explanation import explain_tokens
from workbench.saliency.token_maps import TokenMaps
from workbench.saliency.tokens import ADAPTERS, TokenGrid, find_adapter

__all__ = [
    "ADAPTERS",
    "METHODS",
    "Combination",
    "Explainer",
    "MapFunction",
    "Method",
    "SaliencyMap",
    "SaliencyMaps",
    "TokenGrid",
    "TokenMaps",
    "explain",
    "explain_tokens",
    "explainer",
    "find_adapter",
]
