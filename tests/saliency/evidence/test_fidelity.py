"""Infidelity against loops, and 0 where the model is what the map says."""

import numpy as np
import pytest
import torch
from evidence_cases import Interrupted, images, input_gradient, linear, network

from workbench.saliency.evidence import infidelity

X, Y = images(4), torch.tensor([0, 1, 2, 1])
MAPS = images(4, channels=1, seed=3)[:, 0]
GIVEN = images(7, seed=5)


@pytest.mark.parametrize("perturbation", ["square", "gaussian", GIVEN])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_gradient_of_a_linear_model_has_none(perturbation: str | torch.Tensor, scaled: bool) -> None:
    model = linear()
    gradient = input_gradient(model, X, Y)
    found = infidelity(model, X, Y, gradient, perturbation=perturbation, scaled=scaled)
    assert found.values.max() < 1e-24
    doubled = infidelity(model, X, Y, 2 * gradient, perturbation=perturbation, scaled=scaled)
    assert doubled.values.max() < 1e-24 if scaled else doubled.values.min() > 1e-4


def test_given_perturbations_are_those_of_a_loop() -> None:
    model = network()
    plain = infidelity(model, X, Y, MAPS, perturbation=GIVEN, scaled=False, memory=9000)
    best = infidelity(model, X, Y, MAPS, perturbation=GIVEN, memory=1)
    for i in range(4):
        products, changes = [], []
        for removed in GIVEN:
            products.append((removed * MAPS[i]).sum().item())
            before, after = model(torch.stack([X[i], X[i] - removed]))[:, Y[i]].tolist()
            changes.append(before - after)
        p, c = np.array(products), np.array(changes)
        assert plain.values[i] == pytest.approx(((p - c) ** 2).mean(), rel=1e-10)
        factor = np.linalg.lstsq(p[:, None], c, rcond=None)[0]
        assert best.values[i] == pytest.approx(((factor * p - c) ** 2).mean(), rel=1e-10)
    assert plain.inputs_evaluated == 4 * 8
    each = infidelity(model, X, Y, MAPS, perturbation=GIVEN.expand(4, 7, 2, 6, 5), scaled=False)
    np.testing.assert_allclose(each.values, plain.values)


def test_noise_of_a_linear_model_has_its_expectation() -> None:
    # I is normal with variance s², and the error I·(map - gradient) has mean square s² ‖map - gradient‖².
    model = linear()
    wrong = MAPS[:, None] - input_gradient(model, X, Y)
    found = infidelity(model, X, Y, MAPS, perturbation="gaussian", size=0.3, draws=20_000, scaled=False)
    np.testing.assert_allclose(found.values, 0.09 * wrong.square().flatten(1).sum(1), rtol=0.06)


def test_squares_lie_everywhere_within_the_image_and_have_their_size() -> None:
    ones = torch.ones(1, 1, 6, 5, dtype=torch.float64)
    seen = []

    class Remember(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            seen.append(inputs)
            return torch.zeros(len(inputs), 2, dtype=torch.float64)

    infidelity(Remember(), ones, 0, ones[:, 0], size=4, draws=200)
    removed = torch.cat([batch for batch in seen if len(batch) > 1]) == 0
    assert len(removed) == 200
    assert (removed.flatten(1).sum(1) == 16).all()
    corners = {tuple(mask[0].nonzero()[0].tolist()) for mask in removed}
    assert corners == {(y, x) for y in range(3) for x in range(2)}


def test_draws_depend_on_the_seed_and_not_on_the_batches() -> None:
    for kind in ("square", "gaussian"):
        first = infidelity(network(), X, Y, MAPS, perturbation=kind, memory=1, seed=4)
        same = infidelity(network(), X, Y, MAPS, perturbation=kind, seed=4)
        other = infidelity(network(), X, Y, MAPS, perturbation=kind, seed=5)
        np.testing.assert_allclose(first.values, same.values, rtol=1e-9)
        assert (first.values != other.values).all()


def test_an_empty_map_leaves_the_whole_change_and_one_that_is_not_finite_nothing() -> None:
    maps = MAPS.clone()
    maps[0], maps[1, 0, 0] = 0, torch.nan
    found = infidelity(network(), X, Y, maps, perturbation=GIVEN)
    before, after = network()(X[:1])[:, Y[0]], network()(X[:1] - GIVEN)[:, Y[0]]
    assert found.values[0] == pytest.approx((before - after).square().mean().item())
    assert np.isnan(found.values[1])
    assert found.undefined == 1


def test_an_interrupt_keeps_what_was_done() -> None:
    model = Interrupted(network(), 1 + 1 + 10)  # the targets, the budget, and one sample and three draws

    class Back(torch.nn.Module):
        """Raises once, then goes on: the scores of the samples done are still to be had."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return network()(inputs) if model.left < 0 else model(inputs)

    found = infidelity(Back(), X, Y, MAPS, perturbation=GIVEN, memory=1)
    assert found.interrupted
    np.testing.assert_allclose(found.values, infidelity(network(), X, Y, MAPS, perturbation=GIVEN).values[:1])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="as the inputs"):
        infidelity(network(), X, Y, MAPS[:, 1:])
    with pytest.raises(ValueError, match="did you mean 'square'"):
        infidelity(network(), X, Y, MAPS, perturbation="squares")
    with pytest.raises(ValueError, match=r"not \('P', 2, 6, 5\)"):
        infidelity(network(), X, Y, MAPS, perturbation=GIVEN[:, :1])
    with pytest.raises(ValueError, match="from 1 to 5"):
        infidelity(network(), X, Y, MAPS, size=6)
    with pytest.raises(ValueError, match="must be positive"):
        infidelity(network(), X, Y, MAPS, perturbation="gaussian", size=0)
