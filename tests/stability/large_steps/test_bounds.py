"""Bounds on the steps: what they rest on by a search, and that runs keep them."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit

from workbench.stability.large_steps import budget, example_sets, max_margins, most_steps, sweep_step_sizes


@pytest.mark.parametrize("count", [2, 5, 40, 1000])
def test_the_others_push_by_no_more_than_the_logarithm(count: int) -> None:
    """The largest mean margin under the weights σ(−m), over margins with one example on the wrong side."""

    def pushed(m: np.ndarray) -> float:  # by symmetry, all others are alike at the largest
        share = (count - 1) * expit(-m[0])
        return -float(share * m[0] / (0.5 + share))

    most = -min(minimize(pushed, [start], method="Nelder-Mead").fun for start in (0.5, 2.0, 5.0, 8.0))
    assert 0.3 * math.log(2 * count - 1) < most <= math.log(2 * count - 1)


@pytest.mark.parametrize("seed", range(3))
def test_margins_that_differ_push_no_more(seed: int) -> None:
    source = np.random.default_rng(seed)
    for _ in range(300):
        count = int(source.integers(2, 30))
        m = source.normal(size=count) * 10 ** source.uniform(-1, 2)
        m[0] = -abs(m[0]) * source.integers(0, 2)
        weights = expit(-m)
        assert (weights * m).sum() / weights.sum() <= math.log(2 * count - 1)


def test_formulas() -> None:
    rows = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    found = max_margins(rows)
    rates = torch.tensor([0.5, math.inf], dtype=torch.float64)
    difficulty, margin = (20 / 12) ** 2, 12 / 5
    expected = np.array([difficulty + 2 * math.log(3) / (0.5 * margin**2), difficulty])
    np.testing.assert_allclose(budget(found, rates, 2)[0], expected)
    np.testing.assert_allclose(most_steps(found, rates, 2)[0], [4 * expected[0], 2 * expected[1], *expected])


def test_runs_keep_their_bounds_and_their_budget() -> None:
    kinds = ["separable", "close", "ill-conditioned", "imbalanced"]
    found = sweep_step_sizes(example_sets(kinds, ["1/8", "0/1"], seeds=[0], examples=30), limit=600)
    done = found.separated
    assert done.sum() > 150
    assert (found.steps[done] <= found.bound[done]).all()
    assert (found.spent <= found.budget * (1 + 1e-12)).all()
    normalised = found.spent[1][done[1]]
    np.testing.assert_array_equal(normalised, found.steps[1][done[1]])
