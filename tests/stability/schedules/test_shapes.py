"""The usual schedules, and torch schedulers from factors."""

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from workbench.stability.schedules import SHAPES, scheduler, shape


def rates_of(make, steps):
    """Learning rates of a torch scheduler."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_cosine_and_linear_are_torchs():
    cosine = rates_of(lambda optimizer: CosineAnnealingLR(optimizer, 19), 20)
    np.testing.assert_allclose(shape("cosine", 20), cosine, atol=1e-12)
    linear = rates_of(lambda optimizer: LinearLR(optimizer, 1.0, 0.0, 19), 20)
    np.testing.assert_allclose(shape("linear", 20), linear, atol=1e-12)


@pytest.mark.parametrize("name", SHAPES)
def test_a_scheduler_goes_through_its_shape(name):
    rates = shape(name, 7)
    assert rates.max() == 1
    np.testing.assert_array_equal(rates_of(lambda optimizer: scheduler(optimizer, rates), 7), rates)


def test_the_others_are_what_they_say():
    np.testing.assert_array_equal(shape("constant", 3), [1, 1, 1])
    np.testing.assert_allclose(shape("1/sqrt(t)", 4) ** -2, [1, 2, 3, 4])


def test_what_is_no_schedule_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        shape("linea", 4)
    with pytest.raises(ValueError, match="steps=1"):
        shape("linear", 1)
    with pytest.raises(ValueError, match="shape"):
        scheduler(optimizer, np.ones((2, 2)))
    with pytest.raises(ValueError, match="-1"):
        scheduler(optimizer, np.array([1.0, -1.0]))
