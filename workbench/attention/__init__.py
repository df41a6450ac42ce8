"""Attention by features in place of the softmax: what it knows of the norm of a query, and what it learns."""

from workbench.attention.entropy import EntropyCurves, entropy_curves
from workbench.attention.trainings import AttentionContest, compare_attention

__all__ = ["AttentionContest", "EntropyCurves", "compare_attention", "entropy_curves"]
