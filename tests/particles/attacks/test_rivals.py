"""Rivals find known maxima, within their budget, and count what is feasible only."""

import numpy as np
import pytest
import torch

from workbench.particles.attacks import Surrogate, gradient_ascent, nelder_mead, planted_maximiser


def half_disc(**changes):
    parts = {
        "name": "half",
        "network": lambda x: x,
        "goal": lambda y: -(y - 2).square().sum(-1),
        "start": torch.zeros(2, dtype=torch.float64),
    }
    return Surrogate(**(parts | changes))


@pytest.mark.parametrize("rival", [nelder_mead, gradient_ascent])
def test_they_find_the_maximum(rival) -> None:
    found = rival(planted_maximiser(4, condition=3), 3000)
    assert found.best[-1] > -1e-8
    assert (np.diff(found.best) >= 0).all()
    assert (found.problem, found.dim) == (planted_maximiser(4, condition=3).name, 4)


@pytest.mark.parametrize("rival", [nelder_mead, gradient_ascent])
def test_the_budget_ends_them(rival) -> None:
    assert rival(planted_maximiser(10), 60).evaluations[-1] == 60


@pytest.mark.parametrize("rival", [nelder_mead, gradient_ascent])
def test_they_stay_in_the_box_and_count_what_is_feasible(rival) -> None:
    boxed = half_disc(upper=torch.ones(2, dtype=torch.float64))
    assert rival(boxed, 400).best[-1] == pytest.approx(-2, abs=1e-6)
    held = half_disc(constraints=lambda y: y.sum(-1, keepdim=True) - 1)
    assert rival(held, 400).best[-1] <= -4.5 + 1e-9  # at (1/2, 1/2), the best feasible point


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="delta=0"):
        nelder_mead(half_disc(), delta=0)
    with pytest.raises(ValueError, match="evaluations=0"):
        nelder_mead(half_disc(), 0)
    with pytest.raises(ValueError, match=r"evaluations=2 .* at least 3"):
        gradient_ascent(half_disc(), 2)
