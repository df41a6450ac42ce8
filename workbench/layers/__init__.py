"""Layers that are built on :mod:`workbench.kernels`."""

from workbench.layers.dora_convolution import DoRAConv2d
from workbench.layers.dora_layer import DoRALayer
from workbench.layers.dora_linear import DoRALinear
from workbench.layers.dora_models import apply_dora, merge_dora
from workbench.layers.peft_states import load_peft_state, peft_state

__all__ = [
    "DoRAConv2d",
    "DoRALayer",
    "DoRALinear",
    "apply_dora",
    "load_peft_state",
    "merge_dora",
    "peft_state",
]
