"""ROAD against a loop over samples and percentages."""

import numpy as np
import pytest
import torch
from evidence_cases import images, network

from workbench.saliency.evidence import linear_imputation, road

X, Y = images(4), torch.tensor([0, 1, 2, 1])
MAPS = images(4, channels=1, seed=3)[:, 0]


@pytest.mark.parametrize("order", ["most", "least"])
@pytest.mark.parametrize("score", ["accuracy", "probability"])
def test_curves_are_those_of_a_loop(order: str, score: str) -> None:
    model = network()
    found = road(model, X, Y, MAPS, percentages=(10, 50, 90), order=order, score=score, noise=0, memory=9000)
    for i in range(4):
        places = MAPS[i].flatten().argsort(descending=order == "most", stable=True)
        for j, percentage in enumerate((10, 50, 90)):
            removed = torch.zeros(30, dtype=torch.bool)
            removed[places[: 30 * percentage // 100]] = True
            logits = model(linear_imputation(X[i : i + 1], removed.reshape(1, 6, 5)))[0]
            expected = logits.softmax(0)[Y[i]].item() if score == "probability" else logits.argmax() == Y[i]
            assert found.curves[i, j] == pytest.approx(float(expected), abs=1e-8)
    np.testing.assert_allclose(found.values, found.curves.mean(1))
    assert found.inputs_evaluated == 12
    assert found.better == ("lower" if order == "most" else "higher")


def test_noise_depends_on_the_seed_alone() -> None:
    first = road(network(), X, Y, MAPS, score="logit", noise=0.5, seed=1, memory=1)
    same = road(network(), X, Y, MAPS, score="logit", noise=0.5, seed=1)
    other = road(network(), X, Y, MAPS, score="logit", noise=0.5, seed=2)
    np.testing.assert_allclose(first.curves, same.curves, rtol=1e-9)
    assert np.abs(first.curves - other.curves).max() > 1e-3


def test_a_constant_map_is_undefined() -> None:
    maps = MAPS.clone()
    maps[2] = 0
    found = road(network(), X, Y, maps)
    assert (found.n, found.undefined) == (3, 1)


@pytest.mark.parametrize("percentages", [(), (0, 10), (50, 100)])
def test_percentages_lie_between_0_and_100(percentages: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        road(network(), X, Y, MAPS, percentages=percentages)
    with pytest.raises(ValueError, match="'most', 'least'"):
        road(network(), X, Y, MAPS, order="random")
