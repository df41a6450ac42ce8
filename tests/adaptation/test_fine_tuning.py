"""What each method trains, and that all start from the same function."""

import copy

import pytest
import torch

from workbench.adaptation.fine_tuning import METHODS, adapted, fine_tune, trained_count
from workbench.adaptation.tasks import load_task


@pytest.fixture(scope="module")
def task(small):
    return load_task("turned", seed=0, **small)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_starts_as_the_network_and_leaves_it_alone(task, method):
    before = copy.deepcopy(task.network.state_dict())
    network = adapted(task.network, method, 2, seed=0)
    torch.testing.assert_close(network(task.test[0]), task.network(task.test[0]), rtol=1e-4, atol=1e-5)
    fine_tune(network, task.train, optimizer="adamw", rate=1e-2, epochs=1, seed=0)
    assert not torch.allclose(network(task.test[0]), task.network(task.test[0]), atol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in task.network.state_dict().items())


def test_the_numbers_trained_are_counted_by_hand(task):
    counts = {method: trained_count(adapted(task.network, method, 3, seed=0)) for method in METHODS}
    linear = [m for m in task.network.modules() if isinstance(m, torch.nn.Linear)]
    low_rank = sum(3 * (layer.in_features + layer.out_features) for layer in linear)
    assert counts["full"] == sum(p.numel() for p in task.network.parameters())
    assert counts["lora"] == low_rank
    assert counts["dora"] == counts["dora-exact"] == low_rank + sum(layer.out_features for layer in linear)


def test_seeds_repeat_whatever_the_global_generator_did(task):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two, other = (adapted(task.network, "lora", 2, seed=seed).embedding.lora_a for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_only_what_is_trainable_moves_and_the_loss_falls(task, optimizer):
    network = adapted(task.network, "dora", 2, seed=0)
    frozen = {name: p.clone() for name, p in network.named_parameters() if not p.requires_grad}
    images, labels = task.train
    loss = torch.nn.functional.cross_entropy
    before = loss(network(images), labels).item()
    seconds = fine_tune(network, task.train, optimizer=optimizer, rate=1e-2, epochs=2, seed=0)
    assert seconds > 0
    assert loss(network(images), labels).item() < before
    assert all(torch.equal(dict(network.named_parameters())[name], value) for name, value in frozen.items())
