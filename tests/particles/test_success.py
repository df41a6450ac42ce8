"""Success counts and their intervals, against SciPy's exact test."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from workbench.particles import clopper_pearson, consensus, himmelblau, sphere, success


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_intervals_are_exact(level: float) -> None:
    low, high = clopper_pearson(np.arange(13), 12, level)
    for hits in range(13):
        truth = binomtest(hits, 12).proportion_ci(level, method="exact")
        assert (low[hits], high[hits]) == pytest.approx((truth.low, truth.high), rel=1e-10)


def test_runs_near_any_of_the_minimisers_count() -> None:
    found = consensus(himmelblau(), 100, 2, 20, 300, alpha=100.0, sigma=0.7)
    four = success(found, himmelblau())
    one = success(found, [3.0, 2.0])
    ends = found.consensus[-1].double()
    near = (ends - torch.tensor([3.0, 2.0])).abs().amax(-1) < 0.25
    assert one.hits[-1] == near.sum()
    assert four.hits[-1] == 20
    assert "20 of 20 runs" in four.summary()
    assert len(four.frame()) == len(found.steps)
    assert four.plot().get_ylim()[1] > 1


def test_the_gradients_of_a_drift_are_counted() -> None:
    drifting = consensus(sphere(), 10, 2, 2, 6, gradient=0.3, every=3)
    assert success(drifting, sphere()).evaluations.tolist() == [10, 10 + 3 * 40, 10 + 6 * 40]


def test_what_cannot_be_is_refused() -> None:
    found = consensus(sphere(), 5, 2, 2, 1)
    for options, message in (
        ({"radius": 0.0}, "radius=0"),
        ({"level": 1.0}, "level=1"),
        ({"minimisers": [0.0]}, "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            success(found, **{"minimisers": sphere(), **options})
