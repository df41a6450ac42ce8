"""The networks of the experiments: what they are, that they learn, and that a seed is all they depend on."""

import pytest
import torch

from workbench.stability.experiments.networks import NETWORKS, build_network, digits, trained_problem

COUNTS = {  # by hand: weights and biases, two numbers per channel of a norm
    "linear": 64 * 10 + 10,
    "mlp": 65 * 128 + 129 * 10,
    "cnn": 10 * 16 + (9 * 16 + 1) * 32 + 129 * 10,
    "mlp-layernorm": 3 * 65 * 64 + 3 * 2 * 64 + 65 * 10,
    "cnn-batchnorm": 4 * 32 + (3 * 32 + 1) * 32 + 2 * 2 * 32 + 33 * 10,
    "transformer": 65 * 32 + 33 * 96 + 33 * 32 + 33 * 128 + 129 * 32 + 2 * 2 * 32 + 33 * 10,
}


def test_the_split_is_stratified_and_changes_with_the_seed() -> None:
    data = digits(0)
    assert [len(part[1]) for part in (data.train, data.test)] == [1437, 360]
    assert data.train[0].shape == (1437, 64)
    assert (data.train[0].min(), data.train[0].max()) == (0, 1)
    whole = torch.cat([data.train[1], data.test[1]]).bincount()
    assert (data.test[1].bincount() - 0.2 * whole).abs().max() < 1
    assert torch.equal(data.train[0], digits(0).train[0])
    assert not torch.equal(data.train[0], digits(1).train[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_map_pixels_to_logits_and_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    network = build_network(name, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert network(digits(0).test[0][:3]).shape == (3, 10)
    assert sum(p.numel() for p in network.parameters()) == COUNTS[name]
    first, again, other = (next(build_network(name, seed).parameters()) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [("linear", 0.9), ("mlp", 0.95), ("cnn", 0.95), ("mlp-layernorm", 0.95), ("transformer", 0.95)],
)
def test_networks_learn(name: str, accuracy: float) -> None:
    problem = trained_problem(name, seed=3)
    assert problem.metrics["test_accuracy"] > accuracy
    assert problem.num_examples == 1437
    assert not problem.model.training


def test_the_published_convolution_learns_slowly() -> None:
    """Five pixels and their mean are little to go by: the published accuracy after 200 steps is 72%."""
    early, later = (trained_problem("cnn-batchnorm", epochs=epochs) for epochs in (1, 12))
    assert early.metrics["test_accuracy"] < 0.4 < later.metrics["test_accuracy"] < 0.9


def test_unknown_names_are_refused() -> None:
    for make in (trained_problem, build_network):
        with pytest.raises(ValueError, match=r"network='mlp-layernrom' is not one of .*'mlp-layernorm'\?"):
            make("mlp-layernrom", 0)
