"""Modified backward rules, by name."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from torch import Tensor

from workbench.saliency.capture import Captured

# Of one forward pass, targets (N, T), the score and what the recorder noted: pseudo-gradients (N, T, ...)
RULES: dict[str, Callable[[Captured, Tensor, str, Any], dict[str, Tensor]]] = {}


def recorder(rules: Sequence[str]) -> "nullcontext[None]":
    """Context of a forward pass that these rules will go back through."""
    return nullcontext()
