"""Deconvnet: a rectifier rectifies what comes back, whatever went forward."""

from torch import Tensor

from workbench.saliency.capture import Captured
from workbench.saliency.rules.operations import Operations
from workbench.saliency.rules.propagation import Gradients, replaced
from workbench.saliency.rules.rectifiers import rectified_gradients


def deconvnet(
    captured: Captured, targets: Tensor, score: str = "logit", operations: Operations | None = None
) -> dict[str, Tensor]:
    r"""Pseudo-gradients (N, T, ...) of the deconvolutional network, by layer.

    At a rectifier, :math:`g \mapsto \max(g, 0)`, also where its input was negative, or above 6 at ReLU6; the
    true backward elsewhere, so that max pooling sends back to its winners (the "switches").

    Parameters
    ----------
    captured, targets, score, operations
        As for ``guided``.

    Raises
    ------
    ValueError
        If another activation function is on the way (GELU, SiLU, sigmoid, ...).

    Notes
    -----
    Cost: one backward pass for each target.
    Source: Zeiler and Fergus, arXiv:1311.2901, section 2.1.
    """
    return rectified_gradients(captured, targets, score, "deconvnet", _rectify)


def _rectify(inputs: Gradients, outputs: Gradients) -> Gradients:
    arrived = outputs[0]
    return inputs if arrived is None else replaced(inputs, arrived.clamp(min=0))
