"""All rules from one forward pass, alone and through ``explain``."""

import pytest
import torch
from rule_cases import images, residual_net
from torch import nn

from workbench.saliency import explain, rule_gradients
from workbench.saliency.rules import RULES

TARGETS = [[0, 3], [1, 2], [2, 0]]
LAYERS = ["input", "3", "4", "6"]


def count_forwards(net: nn.Module) -> list[int]:
    seen: list[int] = []
    net.register_forward_pre_hook(lambda module, arguments: seen.append(len(arguments[0])))
    return seen


def test_one_forward_pass_serves_all_rules_layers_and_targets() -> None:
    net, inputs = residual_net(), images()
    alone = {rule: rule_gradients(net, inputs, TARGETS, LAYERS, [rule])[rule] for rule in RULES}
    forwards = count_forwards(net)
    together = rule_gradients(net, inputs, TARGETS, LAYERS, list(RULES))
    assert forwards == [3]
    for rule in RULES:
        for layer in LAYERS:
            x, g = together[rule][layer]
            assert g.shape == (3, 2, *x.shape[1:])
            torch.testing.assert_close(g, alone[rule][layer][1])


def test_explain_shares_it_with_the_true_gradient() -> None:
    net, inputs = residual_net(), images()
    found = rule_gradients(net, inputs, TARGETS, LAYERS, list(RULES))
    gradient = explain(net, inputs, TARGETS, "gradient", LAYERS)
    forwards = count_forwards(net)
    maps = explain(net, inputs, TARGETS, ["gradient", *RULES], LAYERS)
    assert forwards == [3]
    assert (maps.forwards, maps.backwards) == (3, 14)  # of the positive weights, two of both
    for layer in LAYERS:
        torch.testing.assert_close(maps.select("gradient", layer).raw, gradient.select("gradient", layer).raw)
        for rule in ("guided", "deconvnet"):
            torch.testing.assert_close(maps.select(rule, layer).raw, found[rule][layer][1].abs().amax(2))
        p, contrast = (found[rule][layer][1] for rule in ("excitation", "contrastive_excitation"))
        torch.testing.assert_close(maps.select("excitation", layer).raw, p.sum(2))
        shown = maps.select("contrastive_excitation", layer).raw
        torch.testing.assert_close(shown, contrast.sum(2).clamp(min=0))


def test_refusals() -> None:
    net, inputs = residual_net(), images()
    with pytest.raises(ValueError, match=r"rule='gided' is not one of .*; did you mean 'guided'"):
        rule_gradients(net, inputs, 0, ["3"], ["gided"])
    with pytest.raises(ValueError, match="in train mode"):
        rule_gradients(net.train(), inputs, 0, ["3"], ["guided"])
