"""Experiments on saliency, as functions that return results: what the notebook ``saliency`` tells."""

from workbench.saliency.experiments.cascades import Cascade, cascade
from workbench.saliency.experiments.examples import (
    Examples,
    find_examples,
    is_folder,
    label_names,
    located_photographs,
    usual_layers,
)
from workbench.saliency.experiments.judgements import judge, judge_pictures
from workbench.saliency.experiments.layerwise import LayerStory, layer_story
from workbench.saliency.experiments.meta_gains import STEPS, MetaGain, meta_gain
from workbench.saliency.experiments.rankings import ClassRanking, rank_classes
from workbench.saliency.experiments.replacements import text_evidence
from workbench.saliency.experiments.texts import explain_text, token_names

__all__ = [
    "STEPS",
    "Cascade",
    "ClassRanking",
    "Examples",
    "LayerStory",
    "MetaGain",
    "cascade",
    "explain_text",
    "find_examples",
    "is_folder",
    "judge",
    "judge_pictures",
    "label_names",
    "layer_story",
    "located_photographs",
    "meta_gain",
    "rank_classes",
    "text_evidence",
    "token_names",
    "usual_layers",
]
