"""Where in its input has a score its reasons? One framework for maps by backpropagation."""

from workbench.saliency import evidence
from workbench.saliency.combination import Combination
from workbench.saliency.explainers import Explainer, MapFunction, explainer
from workbench.saliency.explanation import explain
from workbench.saliency.maps import SaliencyMap, SaliencyMaps
from workbench.saliency.meta import MetaExplainer, MetaMaps, meta_saliency
from workbench.saliency.methods import METHODS, Method
from workbench.saliency.noisy_gradients import NoisyGradients, smooth_gradients
from workbench.saliency.path_gradients import PathGradients, integrated_gradients
from workbench.saliency.rules import rule_gradients

__all__ = [
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
    "evidence",
    "explain",
    "explainer",
    "integrated_gradients",
    "meta_saliency",
    "rule_gradients",
    "smooth_gradients",
]
