"""Experiments on saliency, as functions that return results: what the notebook ``saliency`` tells."""

from workbench.saliency.experiments.cascades import Cascade, cascade
from workbench.saliency.experiments.examples import (
    Examples,
    class_table,
    find_examples,
    is_folder,
    label_names,
    likeliest_classes,
    located_photographs,
    usual_layers,
)
from workbench.saliency.experiments.layerwise import COMPARED, LayerStory, layer_story
from workbench.saliency.experiments.meta_gains import STEPS, MetaGain, meta_gain
from workbench.saliency.experiments.texts import explain_text

__all__ = [
    "COMPARED",
    "STEPS",
    "Cascade",
    "Examples",
    "LayerStory",
    "MetaGain",
    "cascade",
    "class_table",
    "explain_text",
    "find_examples",
    "is_folder",
    "label_names",
    "layer_story",
    "likeliest_classes",
    "located_photographs",
    "meta_gain",
    "usual_layers",
]
