"""Costs to a planted maximum are those of the searches."""

import sys
from typing import Any

import numpy as np
import pytest

from workbench.particles.attacks import SearchPath, direct_search, planted_maximiser, reach_costs

module = sys.modules["workbench.particles.attacks.reach_costs"]  # the package has a function of this name


def test_costs_are_those_of_the_first_record_that_is_near_enough() -> None:
    reach = reach_costs((3, 5), ("l2", "none"), condition=3.0, seeds=2, precision=1e-3, units=300)
    path = direct_search(planted_maximiser(5, 3.0, seed=1), "l2", evaluations=1800, seed=1)
    first = int((path.values >= -1e-3).argmax())
    for count in ("batched", "opportunistic"):
        assert reach.costs[count][0, 1, 1] == path.cost(count)[first]
    assert reach.median("l2", 5) == np.median(reach.costs["batched"][0, 1])
    assert len(reach.frame()) == 8
    assert len(reach.plot().lines) == 2
    assert "in 5 dimensions" in reach.summary()


def test_what_is_not_reached_is_infinite_and_left_out_of_the_picture() -> None:
    reach = reach_costs((4,), ("none",), seeds=1, units=5)
    assert reach.median("none", 4) == np.inf
    with pytest.raises(ValueError, match="dim=5 is not one of"):
        reach.median("none", 5)
    with pytest.raises(ValueError, match="attack='l2'"):
        reach.median("l2", 4)
    assert reach.plot().lines[0].get_xdata().size == 0


def test_an_interrupt_leaves_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 0

    def search(*arguments: Any, **keywords: Any) -> SearchPath:
        nonlocal begun
        begun += 1
        if begun == 3:
            raise KeyboardInterrupt
        return direct_search(*arguments, **keywords)

    whole = reach_costs((4, 5), ("l2",), condition=3.0, seeds=2, precision=1e-3, units=100)
    monkeypatch.setattr(module, "direct_search", search)
    reach = reach_costs((4, 5), ("l2",), condition=3.0, seeds=2, precision=1e-3, units=100)
    assert reach.interrupted
    assert not whole.interrupted
    np.testing.assert_array_equal(reach.costs["batched"][0, 0], whole.costs["batched"][0, 0])
    assert np.isnan(reach.costs["batched"][0, 1]).all()
    assert np.isnan(reach.median("l2", 5))
    assert reach.plot().lines[0].get_xdata().tolist() == [4]
    assert reach.summary().endswith("INTERRUPTED")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="attack='l3'"):
        reach_costs((3,), ("l3",))
    for nothing in ({"dims": ()}, {"attacks": ()}):
        with pytest.raises(ValueError, match="at least one of each"):
            reach_costs(**nothing)
    with pytest.raises(ValueError, match="precision=0"):
        reach_costs(precision=0)
    with pytest.raises(ValueError, match="seeds=0"):
        reach_costs(seeds=0)
