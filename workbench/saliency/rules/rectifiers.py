"""Rectifiers of the autograd graph, where modules and functions, in place or not, have the same nodes."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from workbench.graph import nodes_between
from workbench.saliency.capture import Captured
from workbench.saliency.rules.propagation import Replacement, propagate
from workbench.saliency.scores import target_scores

# A rectifier is 0 below 0 and rises above; the node may save its lower bound under this name.
_LOWER_BOUND = {
    "ReluBackward0": None,
    "HardtanhBackward0": "_saved_min_val",
    "ClampBackward1": "_saved_min",
    "ClampMinBackward0": "_saved_min",
    "ThresholdBackward0": "_saved_threshold",
}
_OTHERS = (
    "Celu", "ClampMax", "Elu", "Gelu", "Glu", "Hardshrink", "Hardsigmoid", "Hardswish", "LeakyRelu",
    "LogSigmoid", "Mish", "PreluKernel", "RreluWithNoise", "Sigmoid", "Silu", "Softplus", "Softshrink",
    "Tanh",
)  # fmt: skip
# Perhaps a rectifier, perhaps something else: the node does not keep what it was compared with.
_UNCLEAR = (
    "ClampBackward0", "ClampMinBackward1", "ClampMaxBackward1", "MaximumBackward0", "MinimumBackward0",
    "WhereBackward0",
)  # fmt: skip
_WITHOUT_RULE = {*(f"{name}Backward0" for name in _OTHERS), *_UNCLEAR}


def rectified_gradients(
    captured: Captured, targets: Tensor, score: str, rule: str, replacement: Replacement
) -> dict[str, Tensor]:
    """Pseudo-gradients (N, T, ...) by layer with this replacement at every rectifier.

    Raises
    ------
    ValueError
        If there is another activation function on the way.
    """
    with torch.enable_grad():
        scores = target_scores(captured.logits, targets, score)
    nodes = rectifiers(nodes_between(captured.logits, captured.activations.values()), rule)
    seeds = [_one(scores, t) for t in range(targets.shape[1])]
    return propagate(scores, seeds, captured.activations, dict.fromkeys(nodes, replacement))


def rectifiers(nodes: Iterable[Any], rule: str) -> list[Any]:
    """Those of the nodes that are rectifiers.

    Raises
    ------
    ValueError
        If another activation function is among the nodes, which the rule says nothing of, or one that hides
        what is in it: compiled, scripted, a reentrant checkpoint, or a custom autograd Function.
    """
    found = []
    for node in nodes:
        name = node.name()
        if is_rectifier(node):
            found.append(node)
        elif name in _WITHOUT_RULE or name in _LOWER_BOUND:
            raise ValueError(
                f"rule {rule!r} has no meaning for {name}: it is made for ReLU, ReLU6 and other clamps "
                "from 0 on; use 'gradient', or layers behind it"
            )
        elif isinstance(node, BackwardCFunction) or name.startswith("torch::jit"):
            raise ValueError(
                f"rule {rule!r} cannot see what is in {name}: use the model neither compiled nor scripted, "
                "with no autograd Function of your own, and checkpoint with use_reentrant=False"
            )
    return found


def is_rectifier(node: Any) -> bool:
    """Whether the node is that of ReLU, ReLU6, or another clamp from 0 on."""
    name = node.name()
    if name not in _LOWER_BOUND:
        return False
    bound = _LOWER_BOUND[name]
    return bound is None or getattr(node, bound) == 0


def _one(scores: Tensor, t: int) -> Tensor:
    """Ones for target t of each input."""
    seed = torch.zeros_like(scores)
    seed[:, t] = 1
    return seed
