"""Runs in one tensor program are those of single networks in a plain loop; nothing leaks between them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.domains import stacked_training as module
from workbench.domains.environments import make_environments
from workbench.domains.stacked_networks import StackedNetworks, start_networks
from workbench.domains.stacked_training import ANNEAL, DECAY, RATE, train_stacked

STEPS, WIDTH = 12, 8


def loop(method: str, seed: int, weight: float, decay: float) -> nn.Module:
    """One network by torch.optim; Hessian times gradient as ‖g‖ ∇‖g‖, all else by autograd, too."""
    drawn = make_environments("label", seed)
    network = start_networks((64, WIDTH, WIDTH, 10), [seed]).network(0).train()
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    for step in range(STEPS):
        risks = [F.cross_entropy(network(x), y) for x, y in zip(*drawn.train, strict=True)]
        risk = torch.stack(risks).mean()
        now = weight if step >= round(ANNEAL * STEPS) else min(weight, 1.0)
        loss = risk + decay * sum(p.square().sum() for p in network.parameters())
        if method != "erm":
            loss = (loss + now * penalty(method, network, risks, risk)) / max(now, 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def penalty(method: str, network: nn.Module, risks: list[Tensor], risk: Tensor) -> Tensor:
    if method == "vrex":
        return torch.stack(risks).var(correction=0)
    centre = [each.detach() for each in products(network, risk)]
    parts = [products(network, each) for each in risks]
    return sum(
        (mine - other).square().sum() for part in parts for mine, other in zip(part, centre, strict=True)
    ) / len(risks)


def products(network: nn.Module, risk: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the head, and Hessian times gradient."""
    head = list(network.head.parameters())
    gradient = flat(torch.autograd.grad(risk, head, create_graph=True))
    norm = gradient.norm()
    return gradient, norm * flat(torch.autograd.grad(norm, head, create_graph=True))


def flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize("method", ["erm", "vrex", "hgp"])
def test_runs_are_those_of_a_loop(method):
    seeds, weights = [0, 3], (0.5, 50.0)
    drawn = [make_environments("label", seed) for seed in seeds]
    found = train_stacked(method, drawn, seeds, weights, width=WIDTH, steps=STEPS)
    for run, (weight, seed) in enumerate((weight, seed) for weight in weights for seed in seeds):
        # A weight of ERM that is a hundred times the first is ten times the decay.
        decay = 10 * DECAY if method == "erm" and weight == 50 else DECAY
        network = loop(method, seed, weight, decay)
        for mine, truth in zip(found.network(run).parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(mine, truth, atol=2e-5, rtol=2e-4)


def test_the_first_weight_of_erm_is_the_plain_decay_whatever_it_is():
    drawn = [make_environments("label", 0)]
    one, other = (
        train_stacked("erm", drawn, [0], (weight,), width=WIDTH, steps=STEPS) for weight in (10.0, 77.0)
    )
    for mine, truth in zip(one.tensors, other.tensors, strict=True):
        assert torch.equal(mine, truth)


def test_starts_depend_on_their_seed_alone_and_are_glorots():
    pair = start_networks((64, 32, 32, 2), [5, 9])
    alone = start_networks((64, 32, 32, 2), [9])
    for many, one in zip(pair.weights, alone.weights, strict=True):
        assert torch.equal(many[1], one[0])
    bound = (6 / 96) ** 0.5
    assert pair.weights[0].abs().max() <= bound
    assert pair.weights[0].std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not any(bias.any() for bias in pair.biases)


def test_a_module_computes_what_the_stack_does():
    networks: StackedNetworks = start_networks((6, 5, 5, 3), [0, 1])
    inputs = torch.randn(2, 7, 6)
    for run in range(2):
        truth = networks.network(run)(inputs[run])
        torch.testing.assert_close(networks.logits(networks.features(inputs))[run], truth)


def test_only_as_many_runs_as_fit_are_trained_together(monkeypatch):
    seeds, weights = [0, 1, 2], (1.0, 50.0)
    drawn = [make_environments("label", seed) for seed in seeds]
    together = train_stacked("vrex", drawn, seeds, weights, width=4, steps=3)
    descend, runs, steps = module._descend, [], []

    def look(networks, inputs, *given):
        runs.append(len(inputs))
        descend(networks, inputs, *given)

    monkeypatch.setattr(module, "_descend", look)
    monkeypatch.setattr(module, "ROWS", 2 * drawn[0].train[1].numel())
    apart = train_stacked("vrex", drawn, seeds, weights, width=4, steps=3, advance=steps.append)
    assert runs == [2, 2, 2]
    assert sum(steps) == 3 * len(seeds) * len(weights)
    for mine, other in zip(apart.tensors, together.tensors, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=2e-4)
