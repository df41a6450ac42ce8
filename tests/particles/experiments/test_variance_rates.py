"""Rates of decay are those of the swarms, and of the formula."""

import math

import numpy as np
import pandas as pd
import pytest

from workbench.particles import consensus, sphere
from workbench.particles.experiments import variance_decay
from workbench.progress import listening
from workbench.result import load_result

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


def test_an_interrupt_keeps_the_swarms_that_are_done(tmp_path, stop_at):
    options = {"particles": 50, "runs": 2, "steps": 20}
    with listening(stop_at(4)):
        found = variance_decay((1, 2), **options)
    assert found.interrupted
    pd.testing.assert_frame_equal(found.frame(), variance_decay((1, 2), **options).frame().iloc[:3])
    assert "INTERRUPTED" in found.summary()
    assert len(found.plot().lines) >= 2
    found.save(tmp_path / "decay.npz")
    assert load_result(tmp_path / "decay.npz").summary() == found.summary()
    with listening(stop_at(1)), pytest.raises(KeyboardInterrupt):
        variance_decay((1, 2), **options)
