"""Steps in units of the step size: against autograd on θ, the perceptron by hand, and the Taylor radius."""

import math

import pytest
import torch
from plain_descent import batch_perceptron, descend

from workbench.stability import logit_radius
from workbench.stability.large_steps import example_sets
from workbench.stability.large_steps.scaled_descent import RATES, columns, error_shares, mean_loss, take_step

STEPS = 12


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    return example_sets(["separable"], ["1/8"], seeds=[0], examples=30).rows


def walk(rows: torch.Tensor, rates: list[float], steps: int = STEPS) -> tuple[list, list]:
    """Weights, margins before each step, and what the steps did."""
    both, normalized = columns(torch.tensor(rates, dtype=torch.float64))
    weights = rows.new_zeros(1, len(both), rows.shape[-1])
    margins = rows.new_zeros(1, len(both), rows.shape[1])
    seen, done = [(weights, margins)], []
    for _ in range(steps):
        step = take_step(rows, *seen[-1], both, normalized)
        seen.append((step.weights, step.margins))
        done.append(step)
    return seen, done


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("rate", [0.01, 1.0, 1e4, 1e8])
def test_scaled_steps_are_those_of_autograd(rows: torch.Tensor, rate: float, normalized: bool) -> None:
    seen, _ = walk(rows, [rate])
    for (weights, margins), theta in zip(seen, descend(rows[0], rate, STEPS, normalized), strict=True):
        torch.testing.assert_close(rate * weights[0, int(normalized)], theta, rtol=1e-9, atol=1e-12 * rate)
        logits = rows[0] @ theta
        expected = torch.logaddexp(-logits, torch.zeros_like(logits)).mean()
        loss = mean_loss(margins[0], torch.tensor([rate, rate], dtype=torch.float64))[int(normalized)]
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-14 * rate)


@pytest.mark.parametrize("normalized", [False, True])
def test_an_infinite_rate_is_the_batch_perceptron(rows: torch.Tensor, normalized: bool) -> None:
    seen, _ = walk(rows, [math.inf], 40)
    for (weights, _), theta in zip(seen, batch_perceptron(rows[0], 40, normalized), strict=True):
        torch.testing.assert_close(weights[0, int(normalized)], theta, rtol=1e-12, atol=1e-14)


def test_the_ratio_is_that_of_the_taylor_radius(rows: torch.Tensor) -> None:
    rates = [0.1, 1.0, 100.0, 1e6]
    seen, done = walk(rows, rates)
    for (weights, margins), step in zip(seen, done, strict=False):
        for column, rate in enumerate(rates + rates):
            moved = rate * (step.weights - weights)[0, column]
            slopes, logits = rows[0] @ moved / moved.norm(), rate * margins[0, column]
            pairs = (torch.stack([torch.zeros_like(each), each], 1) for each in (logits, slopes))
            z, a = pairs
            exact = moved.norm().item() / logit_radius(z, a, "exact").minimum
            bound = moved.norm().item() / logit_radius(z, a, "spread").minimum
            assert step.ratio[0, column].item() == pytest.approx(exact, rel=1e-6)
            assert step.ratio_bound[0, column].item() == pytest.approx(bound, rel=1e-6)
            assert exact <= bound * (1 + 1e-9)


def test_what_a_step_spends_is_the_mean_of_the_errors_or_one(rows: torch.Tensor) -> None:
    seen, done = walk(rows, [10.0])
    for (weights, _), step in zip(seen, done, strict=False):
        mean = torch.sigmoid(-10 * rows[0] @ weights[0, 0]).mean()
        torch.testing.assert_close(
            step.spent[0], torch.stack([mean, torch.ones_like(mean)]), rtol=1e-12, atol=0
        )


def test_nothing_overflows_at_any_rate(rows: torch.Tensor) -> None:
    seen, done = walk(rows, list(RATES), 200)
    finite = torch.tensor(RATES + RATES).isfinite()
    both, _ = columns(torch.tensor(RATES, dtype=torch.float64))
    for weights, margins in seen:
        assert weights.isfinite().all()
        loss = mean_loss(margins, both)
        assert torch.equal(loss.isfinite()[0], finite)
    assert all(not step.ratio.isnan().any() for step in done)


def test_an_example_on_the_plane_counts_half() -> None:
    margins = torch.tensor([[0.0, 2.0, -2.0]], dtype=torch.float64)
    for rate in (1e8, math.inf):
        assert error_shares(margins, torch.tensor([rate])).tolist() == [[0.5, 0.0, 1.0]]


def test_in_the_limit_a_step_within_the_radius_changes_no_side_and_lowers_the_loss(
    rows: torch.Tensor,
) -> None:
    seen, done = walk(rows, [math.inf], 60)
    short = 0
    for (_, before), step in zip(seen[1:], done[1:], strict=False):
        inside = (step.ratio < 1) & (before < 0).any(-1)
        flipped = (before.sign() != step.margins.sign()).any(-1)
        assert not (inside & flipped).any()
        falls = step.margins.clamp(max=0).sum(-1) > before.clamp(max=0).sum(-1)  # minus the perceptron's loss
        assert falls[inside].all()
        short += int(inside.sum())
    assert short > 0
