"""Layers that networks are built of or changed by."""

from workbench.layers.feature_maps import FEATURE_MAPS
from workbench.layers.linear_self_attention import LinearSelfAttention
from workbench.layers.norm_aware_attention import NormAwareAttention

__all__ = ["FEATURE_MAPS", "LinearSelfAttention", "NormAwareAttention"]
