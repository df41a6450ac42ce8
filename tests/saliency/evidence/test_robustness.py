"""Max-sensitivity against a loop, and the bound that a quadratic has."""

import itertools

import numpy as np
import pytest
import torch
from evidence_cases import gradient_map, images, network
from torch import Tensor, nn

from workbench.random_vectors import generator
from workbench.saliency.evidence import centre_map, max_sensitivity

X, Y = images(4), torch.tensor([0, 1, 2, 1])


class Quadratic(nn.Module):
    """Logits x·A x / 2 with a symmetric A for each class: the gradient is A x."""

    def __init__(self, size: int) -> None:
        super().__init__()
        random = torch.randn(2, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.matrices = random + random.mT

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.flatten(1)
        return torch.einsum("ni,kij,nj->nk", x, self.matrices, x) / 2


def test_the_largest_of_the_draws_is_that_of_a_loop() -> None:
    model = network()
    found = max_sensitivity(model, X, Y, gradient_map, radius=0.1, draws=3, seed=6, memory=9000)
    absolute = max_sensitivity(model, X, Y, gradient_map, radius=0.1, draws=3, seed=6, relative=False)
    random = generator(6)
    for i in range(4):
        map_there = gradient_map(model, X[i : i + 1], Y[i : i + 1])
        distances = []
        for _ in range(3):
            delta = torch.empty_like(X[i : i + 1]).uniform_(-1, 1, generator=random) * 0.1
            distances.append(
                (gradient_map(model, X[i : i + 1] + delta, Y[i : i + 1]) - map_there).norm().item()
            )
        assert absolute.values[i] == pytest.approx(max(distances), rel=1e-10)
        assert found.values[i] == pytest.approx(max(distances) / map_there.norm().item(), rel=1e-10)
    assert found.maps_made == 16


def test_a_quadratic_stays_below_its_bound_and_comes_near_with_many_draws() -> None:
    model, x = Quadratic(3), images(2, 1, 1, 3)
    found = max_sensitivity(model, x, 0, gradient_map, radius=0.5, draws=3000, relative=False)
    corners = torch.tensor(list(itertools.product([-0.5, 0.5], repeat=3)), dtype=torch.float64)
    exact = (corners @ model.matrices[0]).norm(dim=1).max().item()  # a convex function is largest at a corner
    assert (found.values <= exact).all()
    assert (found.values > 0.9 * exact).all()


def test_a_map_that_ignores_its_input_does_not_move_and_a_zero_map_is_undefined() -> None:
    assert max_sensitivity(network(), X, Y, centre_map).values.tolist() == [0, 0, 0, 0]
    found = max_sensitivity(network(), X, Y, lambda m, i, t: torch.zeros_like(i[:, 0]))
    assert found.undefined == 4
    assert np.isnan(found.mean)


def test_an_interrupt_keeps_whole_samples() -> None:
    calls = []

    def interrupting(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(len(inputs))
        if len(calls) > 4 + 7:  # four maps of the inputs, then three each
            raise KeyboardInterrupt
        return gradient_map(model, inputs, targets)

    found = max_sensitivity(network(), X, Y, interrupting, draws=3, memory=1)
    assert found.interrupted
    np.testing.assert_allclose(
        found.values, max_sensitivity(network(), X, Y, gradient_map, draws=3).values[:2]
    )


@pytest.mark.parametrize("radius", [0, -1, np.inf, np.nan])
def test_the_radius_is_positive(radius: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        max_sensitivity(network(), X, Y, gradient_map, radius=radius)
