"""Modified backward rules, by name."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

# rule_gradients(model, inputs, targets (N, T), layers) -> layer: (activation (N, C, h, w), pseudo-gradient (N, T, C, h, w))
RuleGradients = Callable[[nn.Module, Tensor, Tensor, Sequence[str]], dict[str, tuple[Tensor, Tensor]]]
RULES: dict[str, RuleGradients] = {}
