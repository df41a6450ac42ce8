"""Guided backprop: a rectifier passes on what is positive, where it is active."""

from torch import Tensor

from workbench.saliency.capture import Captured
from workbench.saliency.rules.operations import Operations
from workbench.saliency.rules.propagation import Gradients, replaced
from workbench.saliency.rules.rectifiers import rectified_gradients


def guided(
    captured: Captured, targets: Tensor, score: str = "logit", operations: Operations | None = None
) -> dict[str, Tensor]:
    r"""Pseudo-gradients (N, T, ...) of guided backprop, by layer.

    At a rectifier of x, :math:`g \mapsto \max(g, 0)\,1[x > 0]`, and :math:`1[0 < x < 6]` at ReLU6; the true
    backward elsewhere. Without a rectifier on the way it is the gradient.

    Parameters
    ----------
    captured : Captured
        One forward pass.
    targets : Tensor (N, T)
    score : {"logit", "probability", "loss"}
        See ``target_scores``.
    operations : Operations, optional
        Not needed: the graph says all.

    Raises
    ------
    ValueError
        If another activation function is on the way (GELU, SiLU, sigmoid, ...).

    Notes
    -----
    Cost: one backward pass for each target.
    Source: Springenberg et al., arXiv:1412.6806, section 3.4.
    """
    return rectified_gradients(captured, targets, score, "guided", _guide)


def _guide(inputs: Gradients, outputs: Gradients) -> Gradients:
    true = inputs[0]
    return inputs if true is None else replaced(inputs, true.clamp(min=0))
