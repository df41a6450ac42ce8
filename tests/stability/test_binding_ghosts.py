"""The samples that bind first are those with the smallest exact radii of all."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.stability import logit_radius, logits_and_slopes, nearest_ghosts


def problem(examples: int = 200) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5)).double()
    data = torch.randn(examples, 4, dtype=torch.float64), torch.randint(0, 5, (examples,))
    batches = list(zip(*(part.split(70) for part in data), strict=True))
    return wb.Problem(model, nn.CrossEntropyLoss(), batches)


@pytest.mark.parametrize("samples", [1, 7, 70])
def test_chosen_are_the_smallest_exact_radii_of_all_batches(samples: int) -> None:
    trained = problem()
    found = nearest_ghosts(trained, "gradient", samples, count=2)
    gradient = trained.gradient()
    pairs = logits_and_slopes(trained, gradient / gradient.norm())
    exact = torch.cat([logit_radius(*pair, "exact").radius for pair in pairs])
    expected = exact.sort().values[:samples]
    torch.testing.assert_close(found.zeros.abs()[:, 0], expected)
    torch.testing.assert_close(exact[found.rows], expected)
    assert found.zeros.shape == (samples, 2)
    assert found.certified.all()
    assert list(found.frame()["sample"][::2]) == found.rows.tolist()


def test_an_optimizer_has_its_step_and_there_are_no_more_samples_than_rows() -> None:
    trained = problem(3)
    optimizer = torch.optim.SGD(trained.model.parameters(), lr=0.5)
    found = nearest_ghosts(trained, optimizer, 20, count=1)
    assert found.step == pytest.approx(0.5 * trained.gradient().norm().item())
    assert len(found.rows) == 3


def test_a_direction_that_moves_no_logit_and_numbers_out_of_range_are_refused() -> None:
    trained = problem(3)
    vector = torch.zeros(trained.num_parameters, dtype=torch.float64)
    vector[-5:] = 1.0  # all biases of the outputs alike
    with pytest.raises(ValueError, match="no logit moves"):
        nearest_ghosts(trained, vector)
    with pytest.raises(ValueError, match="samples=0 is out of range"):
        nearest_ghosts(trained, "gradient", 0)
