"""Networks find the distributions that the numbers of each cell have."""

import numpy as np
import pytest
import torch

from workbench.compression.contexts import LEVELS
from workbench.compression.entropy_network import (
    EntropyNetwork,
    Sample,
    bits_of,
    bits_table,
    coded_bits,
    fit_network,
)


def sample() -> Sample:
    """Laplace numbers of scale 1 in one cell and 6 in another, normal ones of deviation 3 in a third."""
    random = np.random.default_rng(0)
    cells = np.repeat([0, LEVELS, 4 * LEVELS], 5000)
    values = np.concatenate(
        [random.laplace(0, 1, 5000), random.laplace(0, 6, 5000), random.normal(0, 3, 5000)]
    )
    pairs, counts = np.unique(
        np.stack([cells, np.abs(values.round()).astype(int)]), axis=1, return_counts=True
    )
    return Sample(
        torch.from_numpy(pairs[0]), torch.from_numpy(pairs[1]).float(), torch.from_numpy(counts).float()
    )


def test_a_laplace_fit_finds_the_scales() -> None:
    network = fit_network("laplace", sample())
    scale, shape = network(torch.tensor([0, LEVELS]))
    assert shape.eq(1).all()
    assert scale.detach().numpy() == pytest.approx([1, 6], rel=0.06)


def test_a_generalized_fit_finds_the_shapes_and_costs_least() -> None:
    given = sample()
    bits = {}
    for kind in ("gaussian", "laplace", "shared", "generalized"):
        network = fit_network(kind, given, steps=300)
        scale, shape = network(given.cells)
        bits[kind] = (given.counts * bits_of(given.values, scale, shape)).sum().item() / 15_000
    shape = network(torch.tensor([LEVELS, 4 * LEVELS]))[1]
    assert shape.detach().numpy() == pytest.approx([1, 2], abs=0.2)
    assert bits["generalized"] == min(bits.values())
    assert bits["shared"] < min(bits["gaussian"], bits["laplace"])


def test_fits_are_the_same_for_the_same_seed() -> None:
    scales = [fit_network("shared", sample(), steps=3, seed=seed)(torch.tensor([0]))[0] for seed in (1, 1, 2)]
    assert torch.equal(scales[0], scales[1])
    assert not torch.equal(scales[0], scales[2])


def test_a_fit_leaves_the_generators_alone(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("GPUs are reseeded"))
    before = torch.get_rng_state()
    fit_network("shared", sample(), steps=1, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_table_holds_the_bits_of_each_cell() -> None:
    network = EntropyNetwork("generalized")
    table = bits_table(network, np.array([0, 40]), 5)
    scale, shape = (each.detach() for each in network(torch.tensor([40])))
    expected = coded_bits(bits_of(torch.arange(6.0), scale, shape))
    assert sorted(table) == [0, 40]
    assert table[40] == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-6)


def test_no_symbol_costs_more_than_the_coder_takes() -> None:
    found = coded_bits(torch.tensor([0.0, 10.0, 24.0, 1000.0]))
    assert found.tolist() == pytest.approx([0, 10, 23, 24], abs=1e-4)
