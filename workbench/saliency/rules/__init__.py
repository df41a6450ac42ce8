"""Modified backward rules: on the graph of one forward pass that they and the true gradient share."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.probes import refuse_training_mode
from workbench.saliency.capture import capture
from workbench.saliency.layer_inputs import read_inputs
from workbench.saliency.rules.deconvnet import deconvnet
from workbench.saliency.rules.excitation import contrastive_excitation, excitation
from workbench.saliency.rules.guided import guided
from workbench.saliency.rules.operations import Operations
from workbench.saliency.rules.propagation import Rule
from workbench.saliency.scores import read_targets

RULES: dict[str, Rule] = {
    "deconvnet": deconvnet,
    "guided": guided,
    "excitation": excitation,
    "contrastive_excitation": contrastive_excitation,
}
RECORDING = ("excitation", "contrastive_excitation")  # need ``Operations`` around the forward pass


def rule_gradients(
    model: nn.Module,
    inputs: Tensor,
    target: Any,
    layers: Sequence[str],
    rules: Sequence[str],
    score: str = "logit",
) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """Activations (N, ...) and pseudo-gradients (N, T, ...) by rule and layer, from one forward pass.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode; it is left as it was. Its parameters may be frozen.
    inputs : Tensor (N, ...)
    target : None, int, N ints, or (N, T)
        See ``read_targets``.
    layers : sequence of str
        Names of modules, or ``"input"``.
    rules : sequence of {"deconvnet", "guided", "excitation", "contrastive_excitation"}
    score : {"logit", "probability", "loss"}
        For deconvnet and guided; excitation starts at the logit of the class.

    Raises
    ------
    ValueError
        If a name is unknown, or a rule has no meaning for an operation on the way.

    Notes
    -----
    Cost: one forward pass, and for each rule what it states.
    """
    refuse_training_mode(model)
    inputs = read_inputs(inputs)
    for rule in rules:
        check_choice("rule", rule, tuple(RULES))
    with torch.inference_mode(False):
        with recorder(rules, inputs) as operations:
            captured = capture(model, inputs, layers)
        targets = read_targets(target, captured.logits)
        activations = {name: x.detach() for name, x in captured.activations.items()}
        found = {}
        for rule in rules:
            gradients = RULES[rule](captured, targets, score, operations)
            found[rule] = {name: (activations[name], g) for name, g in gradients.items()}
    return found


def recorder(rules: Sequence[str], inputs: Tensor) -> "Operations | nullcontext[None]":
    """Context of a forward pass of these inputs that these rules will go back through."""
    return Operations(inputs) if any(rule in RECORDING for rule in rules) else nullcontext()
