"""Where in its input has a score its reasons? One framework for maps by backpropagation."""

from workbench.saliency import evidence, experiments
from workbench.saliency.combination import Combination
from workbench.saliency.explainers import Explainer, MapFunction, explainer
from workbench.saliency.explanation import explain
from workbench.saliency.maps import SaliencyMap, SaliencyMaps
from workbench.saliency.meta import MetaExplainer, MetaMaps, meta_saliency
from workbench.saliency.methods import METHODS, Method
from workbench.saliency.noisy_gradients import NoisyGradients, smooth_gradients
from workbench.saliency.path_gradients import PathGradients, integrated_gradients
from workbench.saliency.rules import rule_gradients
from workbench.saliency.token_explanation import explain_tokens
from workbench.saliency.token_maps import TokenMaps
from workbench.saliency.tokens import ADAPTERS, TokenGrid, find_adapter

__all__ = [
    "ADAPTERS",
    "METHODS",
    "Combination",
    "Explainer",
    "MapFunction",
    "MetaExplainer",
    "MetaMaps",
    "Method",
    "NoisyGradients",
    "PathGradients",
    "SaliencyMap",
    "SaliencyMaps",
    "TokenGrid",
    "TokenMaps",
    "evidence",
    "experiments",
    "explain",
    "explain_tokens",
    "explainer",
    "find_adapter",
    "integrated_gradients",
    "meta_saliency",
    "rule_gradients",
    "smooth_gradients",
]
