"""Rates of decay are those of the swarms, and of the formula."""

import math

import numpy as np
import pytest

from workbench.particles import consensus, sphere
from workbench.particles.experiments import variance_decay

QUICK = {"particles": 2000, "runs": 3, "steps": 50}


@pytest.fixture(scope="module")
def decay():
    return variance_decay((1, 3), **QUICK)


def test_the_theory_is_the_factor_of_a_step(decay):
    for kind, row in zip(decay.kinds, decay.rates_theory, strict=True):
        for dim, rate in zip(decay.dims, row, strict=True):
            spread = 0.32**2 * 0.01 * (dim if kind == "isotropic" else 1)
            assert rate == pytest.approx(-math.log(0.99**2 + spread) / 0.01, rel=1e-9)


def test_in_few_dimensions_the_swarm_has_this_rate(decay):
    table = decay.frame()
    assert (abs(table["rate"] - table["theory"]) < 4 * table["rate_stderr"] + 0.01).all()


def test_the_rates_are_those_of_the_swarms(decay):
    swarm = consensus(
        sphere(), 2000, 3, 3, 50, kind="isotropic", alpha=1e5, sigma=0.32, start=0.0, cosine=False
    )
    expected = (swarm.variance[0] / swarm.variance[-1]).log().numpy() / 0.5
    np.testing.assert_allclose(decay.rates[1, 1], expected, rtol=1e-6)


def test_it_is_drawn_and_told(decay):
    assert decay.plot().get_xlabel() == "dimension"
    assert len(decay.summary().splitlines()) == 5


@pytest.mark.parametrize("dims", [(), (0,)])
def test_dimensions_that_are_none_are_refused(dims):
    with pytest.raises(ValueError, match="dims"):
        variance_decay(dims, **QUICK)
