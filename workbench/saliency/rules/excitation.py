r"""Excitation backprop: how probable is it that a unit has won, when winners are drawn from the class down?

A parent :math:`a_i` draws one of its children :math:`a_j` with probability
:math:`w^+_{ij} a_j / \sum_k w^+_{ik} a_k`; p of a unit is the probability that it is drawn on the way. As
long as every parent has a child that excites it, p of each layer sums to 1.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.graph import nodes_between
from workbench.saliency.capture import Captured
from workbench.saliency.rules.operations import Addition, LinearMap, Operations, Passage, behind_copies
from workbench.saliency.rules.propagation import Gradients, Replacement, propagate
from workbench.saliency.rules.rectifiers import is_rectifier

# Nodes that copy, choose or lay out: what their true backward does with p is what it means.
_NEUTRAL = frozenset(
    f"{name}Backward{number}"
    for number in range(3)
    for name in (
        "AdaptiveMaxPool2D", "AdaptiveMaxPool3D", "Alias", "AsStrided", "Cat", "Clone", "ConstantPadNd",
        "Expand", "Flip", "Index", "MaxPool2DWithIndices", "MaxPool3DWithIndices", "Permute",
        "ReflectionPad2D", "Repeat", "ReplicationPad2D", "ReshapeAlias", "Roll", "Select", "Slice",
        "Split", "SplitWithSizes", "Squeeze", "Stack", "T", "ToCopy", "Transpose", "Unbind",
        "UnsafeView", "Unsqueeze", "UpsampleNearest2D", "View",
    )
)  # fmt: skip
# In float16, p of a pixel may be too small to be held; scaled by this, all of it is still not too large.
_HALF_SCALE = 2.0**14


def excitation(
    captured: Captured, targets: Tensor, score: str = "logit", operations: Operations | None = None
) -> dict[str, Tensor]:
    r"""Winning probabilities p (N, T, ...) of excitation backprop, by layer.

    Through dense and convolutional layers, averages and sums
    :math:`p_j = a^+_j \sum_i w^+_{ij} p_i / \sum_k w^+_{ik} a^+_k`, without biases. A batch norm is folded
    into the layer in front of it (a negative scale turns the sign of its weights); behind anything else it is
    a linear layer of its own. Max pooling sends p to the winner, a residual addition shares it in proportion
    to the positive parts, a rectifier (ReLU6 in saturation, too) passes it on.

    The paper takes activations for nowhere negative; here negative ones get nothing. A parent that is active
    by its bias or a norm's shift alone has no child that excites it, and loses its p: the sum over a layer is
    then below 1, which says how much the map leaves out. Networks whose depthwise layers are often so, such
    as MobileNetV2, lose most of it.

    Parameters
    ----------
    captured : Captured
        One forward pass within ``operations``.
    targets : Tensor (N, T)
    score : str
        Not used: p starts with 1 at the logit of the class.
    operations : Operations
        What was noted in the pass.

    Raises
    ------
    ValueError
        If an operation on the way has no such rule (GELU, SiLU, attention, products, ...), batch norm is in
        training mode, or a tensor was overwritten that a layer had read.

    Notes
    -----
    Cost: one backward pass for each target, and for all targets together one forward and for each one more
    backward with the positive weights.
    Source: Zhang, Lin, Brandt, Shen, Sclaroff, ECCV 2016, arXiv:1608.00507, section 3.2.
    """
    return _winning(captured, targets, _replacements(captured, operations, "excitation"))


def contrastive_excitation(
    captured: Captured, targets: Tensor, score: str = "logit", operations: Operations | None = None
) -> dict[str, Tensor]:
    """Winning probabilities for the class less those for its opposite (N, T, ...), by layer.

    The opposite is a class whose weights in the last layer with weights are the negative ones. What both send
    to the inputs of that layer is scaled to the same mass, subtracted there, and sent on, signed; a map is
    ``max(0, sum over channels)`` in the end. As the rest is linear in p, subtracting at a lower layer would
    give the same difference, up to what is lost between.

    Parameters
    ----------
    captured, targets, score, operations
        As for ``excitation``.

    Raises
    ------
    ValueError
        As for ``excitation``, or if the logits are not those of one last layer with weights.

    Notes
    -----
    Cost: as ``excitation``, and the last layer twice.
    Source: Zhang et al., arXiv:1608.00507, section 3.4.
    """
    replacements = _replacements(captured, operations, "contrastive_excitation")
    node, last = _last_layer(captured, operations)

    def contrast(inputs: Gradients, outputs: Gradients) -> Gradients:
        p = outputs[0]
        if p is None:
            return inputs
        mass = p.reshape(len(captured.logits), -1).sum(
            dim=1, dtype=torch.promote_types(p.dtype, torch.float32)
        )
        return last.replaced(
            inputs, _of_mass(mass, last.share(p)) - _of_mass(mass, last.share(p, negated=True))
        )

    return _winning(captured, targets, {**replacements, node: contrast})


def _winning(captured: Captured, targets: Tensor, replacements: dict[Any, Replacement]) -> dict[str, Tensor]:
    logits = captured.logits
    scale = _HALF_SCALE if logits.dtype == torch.float16 else 1.0
    seeds = [torch.zeros_like(logits).scatter_(1, column[:, None], scale) for column in targets.unbind(dim=1)]
    found = propagate(logits, seeds, captured.activations, replacements)
    return {name: p.to(torch.promote_types(p.dtype, torch.float32)) / scale for name, p in found.items()}


def _replacements(captured: Captured, operations: Operations | None, rule: str) -> dict[Any, Replacement]:
    if operations is None:
        raise ValueError(
            f"rule {rule!r} needs the operations of the forward pass: run it within Operations(inputs)"
        )
    nodes = nodes_between(captured.logits, captured.activations.values())
    _check_folds(nodes, operations)
    chosen: dict[Any, Replacement] = {}
    for node in nodes:
        if node in operations.found:
            chosen[node] = operations.found[node].replacement
        elif is_rectifier(node):
            chosen[node] = Passage().replacement
        elif node.name() not in _NEUTRAL:
            raise ValueError(
                f"rule {rule!r} has no meaning for {node.name()}: it knows dense and convolutional layers, "
                "batch norm in eval mode, ReLU, pooling, sums and residual additions; use layers behind it"
            )
    return chosen


def _check_folds(nodes: Sequence[Any], operations: Operations) -> None:
    readers = Counter(
        behind_copies(each)
        for node in nodes
        if node is behind_copies(node)
        for each, _ in node.next_functions
    )
    for node in nodes:
        noted = operations.found.get(node)
        if not isinstance(noted, LinearMap) or noted.sign is None or readers[node] == 1:
            continue
        if (noted.sign < 0).any():
            raise ValueError(
                "a batch norm with negative scales stands behind a layer that something else reads, too: "
                "excitation backprop cannot fold it in"
            )


def _last_layer(captured: Captured, operations: Operations | None) -> tuple[Any, LinearMap]:
    assert operations is not None
    for node in reversed(nodes_between(captured.logits, captured.activations.values())):
        noted = operations.found.get(node)
        if isinstance(noted, Addition):
            break
        if isinstance(noted, LinearMap) and noted.weight is not None:
            return node, noted
    raise ValueError(
        "contrastive excitation needs one last layer with weights, dense or convolutional, between the "
        "layers asked for and the logits: name earlier layers"
    )


def _of_mass(mass: Tensor, p: Tensor) -> Tensor:
    """P scaled to this sum for each input; 0 stays 0."""
    total = p.flatten(1).sum(dim=1)
    factor = torch.where(total > 0, mass / total, 0)
    return p * factor.view(-1, *[1] * (p.dim() - 1))
