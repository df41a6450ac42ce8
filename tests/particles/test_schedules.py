"""Schedules against their formulas."""

import math

import pytest

from workbench.particles import Schedule
from workbench.particles.schedules import check_number, check_values, pack_values, unpack_values, value_at


def test_a_factor_multiplies_every_few_steps_within_its_bounds() -> None:
    cooling = Schedule(2.0, 0.5, every=3, least=0.3)
    assert [cooling(k) for k in (0, 2, 3, 6, 9, 100)] == [2.0, 2.0, 1.0, 0.5, 0.3, 0.3]
    assert Schedule(1.0, 2.0, most=5.0)(10) == 5.0


def test_without_a_factor_it_falls_as_the_product_of_the_papers_code() -> None:
    cooling, product = Schedule(1.5, every=2), 1.5
    for change in range(1, 6):
        product *= math.log2(change + 1) / math.log2(change + 2)
        assert cooling(2 * change) == pytest.approx(product, rel=1e-12)


def test_what_a_file_holds_comes_back() -> None:
    schedule = Schedule(2.0, 0.5, every=3)
    assert unpack_values(pack_values(schedule)) == schedule
    assert unpack_values(pack_values(3)) == 3.0
    assert unpack_values(pack_values(lambda step: 1.0)) is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(TypeError, match="alpha='x' is a str: pass a number or a function"):
        check_values("alpha", "x")
    with pytest.raises(ValueError, match="sigma=-1"):
        check_values("sigma", -1)
    with pytest.raises(TypeError, match="lam=True is a bool"):
        check_number("lam", True)
    with pytest.raises(ValueError, match="alpha is nan at step 4"):
        value_at("alpha", lambda step: math.nan, 4)


def test_a_power_beyond_all_numbers_is_bounded() -> None:
    assert Schedule(100.0, 1.05, most=1e6)(20_000) == 1e6
    assert Schedule(100.0, 1.05)(20_000) == math.inf
    assert Schedule(0.0, 1.05)(20_000) == 0.0


@pytest.mark.parametrize("options", [{"every": 0}, {"start": -1.0}, {"factor": -0.5}, {"most": math.nan}])
def test_schedules_out_of_range_are_refused(options) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Schedule(**{"start": 1.0, "factor": 0.9, **options})
