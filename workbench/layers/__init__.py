"""Layers that are built on :mod:`workbench.kernels`."""

from workbench.layers.dora_convolution import DoRAConv2d
from workbench.layers.dora_layer import DoRALayer
from workbench.layers.dora_linear import DoRALinear
from workbench.layers.feature_maps import FEATURE_MAPS
from workbench.layers.generalized_gaussian_entropy import GeneralizedGaussianEntropy
from workbench.layers.linear_self_attention import LinearSelfAttention
from workbench.layers.lora_linear import LoRALinear
from workbench.layers.low_rank_layer import LowRankLayer
from workbench.layers.low_rank_models import apply_dora, apply_lora, merge_dora, merge_lora
from workbench.layers.norm_aware_attention import NormAwareAttention
from workbench.layers.peft_states import load_peft_state, peft_state

__all__ = [
    "FEATURE_MAPS",
    "DoRAConv2d",
    "DoRALayer",
    "DoRALinear",
    "GeneralizedGaussianEntropy",
    "LinearSelfAttention",
    "LoRALinear",
    "LowRankLayer",
    "NormAwareAttention",
    "apply_dora",
    "apply_lora",
    "load_peft_state",
    "merge_dora",
    "merge_lora",
    "peft_state",
]
