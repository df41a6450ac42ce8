"""Estimated diagonals add the noise that the law says, and none if all environments share what there is."""

from unittest import mock

import numpy as np
import pytest
import torch

from workbench.domains import DiagonalNoise, diagonal_noise
from workbench.domains import probe_noise as module
from workbench.domains.penalties import HeadState, estimated_diagonal_matching, gradient_matching
from workbench.domains.trained_networks import train_and_test_heads, trained_networks
from workbench.result import load_result


@pytest.fixture(scope="module")
def noise() -> DiagonalNoise:
    return diagonal_noise("label", (1, 4, 16), draws=300, width=6, steps=30)


@pytest.mark.parametrize("kind", ["independent", "shared"])
def test_means_are_those_of_the_law(noise, kind):
    mean, error = noise.mean(kind)
    assert (np.abs(mean - noise.law(kind)) < 4 * error).all()
    assert (error < 0.2 * (noise.law(kind) - noise.exact)).all()  # so that the test can fail


def test_the_penalty_that_trains_has_the_same_expectation(noise):
    drawn, networks = trained_networks("label", "erm", weight=1.0, width=6, steps=30, seeds=[0])
    state, _ = train_and_test_heads(drawn, networks, 0)
    random = torch.Generator().manual_seed(1)
    found = []
    for _ in range(200):
        signs = 2.0 * torch.randint(0, 2, (4, *state.gradients().shape), generator=random).double() - 1
        found.append(float(estimated_diagonal_matching(state, signs) - gradient_matching(state)))
    error = np.std(found, ddof=1) / len(found) ** 0.5
    assert abs(np.mean(found) - noise.law("independent")[1]) < 4 * error


def test_environments_that_are_the_same_have_noise_of_independent_probes_alone(monkeypatch):
    def same(*given):
        state, _ = train_and_test_heads(*given)
        return HeadState(*(tensor[:1].expand(2, *tensor.shape[1:]) for tensor in vars(state).values())), state

    monkeypatch.setattr(module, "train_and_test_heads", same)
    found = diagonal_noise("label", (2,), draws=5, width=4, steps=3)
    assert found.exact < 1e-24
    assert found.noise[1] < 1e-24
    assert found.mean("shared")[0] < 1e-24
    assert found.mean("independent")[0] > 1e-6


def test_the_result_is_a_table_a_picture_and_a_file(noise, tmp_path):
    assert len(noise.frame()) == 6
    assert noise.plot().get_xlabel() == "probes of each environment"
    assert "half of it is noise" in noise.summary()
    again = load_result(noise.save(tmp_path / "noise.wb"))
    np.testing.assert_array_equal(again.penalties, noise.penalties)


def test_an_interrupt_keeps_the_numbers_that_are_done():
    estimate = module._estimate

    def stop(hessians, count, *given):
        if count == 3:
            raise KeyboardInterrupt
        return estimate(hessians, count, *given)

    with mock.patch.object(module, "_estimate", stop):
        found = diagonal_noise("label", (1, 3), draws=2, width=4, steps=1)
        assert found.interrupted
        assert found.counts.tolist() == [1]


def test_what_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="counts is empty"):
        diagonal_noise(counts=())
    with pytest.raises(ValueError, match="counts=0"):
        diagonal_noise(counts=(0,))
    with pytest.raises(ValueError, match="shift='colour'"):
        diagonal_noise("colour")
    with pytest.raises(ValueError, match="draws=0"):
        diagonal_noise(draws=0)
