"""Worst cases: the linear parts written out, the logarithm, the floor and the bound."""

import numpy as np
import pytest

import workbench as wb
from workbench.stability.last_iterates import rule_steps, worst_case
from workbench.stability.last_iterates.worst_cases import RULES, slopes_against


@pytest.fixture(scope="module")
def found():
    return worst_case(horizons=(16, 32, 64, 128, 256))


def matrix(steps):
    """All T + 1 linear parts as rows."""
    steep, slow = slopes_against(steps)
    count = len(steps)
    rows = np.tril(np.tile(slow, (count + 1, 1)), -1)
    rows[np.arange(count), np.arange(count)] = -steep
    return rows


@pytest.mark.parametrize("rule", RULES)
def test_the_runs_are_those_of_the_matrix(rule, found):
    count = 64
    rows = matrix(rule_steps(rule, count))
    for other in RULES:
        point, total = np.zeros(count), np.zeros(count)
        for step in rule_steps(other, count):
            values = rows @ point
            point = point - step * rows[np.flatnonzero(values >= values.max() - 1e-15)[0]]
            assert np.linalg.norm(point) < 1
            total += point
        places = found.rules.index(rule), found.rules.index(other), 2
        assert found.last[places] == pytest.approx((rows @ point).max(), rel=1e-9)
        assert found.average[places] == pytest.approx((rows @ total).max() / count, rel=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_the_functions_are_lipschitz_with_their_minimum_at_the_start(rule):
    rows = matrix(rule_steps(rule, 200))
    assert np.linalg.norm(rows, axis=1).max() < 1
    shares = np.zeros(201)  # of a convex combination that is 0, from the last coordinate back
    shares[-1] = 1
    for place in range(199, -1, -1):
        shares[place] = rows[-1, place] * shares[place + 1 :].sum() / -rows[place, place]
    np.testing.assert_allclose(shares @ rows, 0, atol=1e-9 * shares.sum())


def test_the_last_iterate_pays_a_logarithm_and_linear_decay_does_not(found):
    for rule in ("decaying", "constant"):
        slope, error = found.log_slope(rule)
        assert 0.05 < slope < 0.07
        assert error < 0.001
        assert abs(found.log_slope(rule, iterate="average")[0]) < 0.005
    for made_for in RULES:
        assert found.log_slope("linear", made_for)[0] < 0.001


def test_the_gap_is_between_floor_and_bound(found):
    own = found.last[np.arange(3), np.arange(3)]
    assert (own >= found.floors).all()
    assert found.largest_share <= 1
    assert found.largest_share > 0.7  # or the bound says little


def test_a_worst_case_saves_tells_and_draws_itself(found, tmp_path):
    loaded = wb.load_result(found.save(tmp_path / "worst.zip"))
    assert loaded.summary() == found.summary()
    assert len(found.frame()) == 3 * 3 * 5
    assert len(found.plot().get_lines()) == 6


def test_what_is_no_comparison_is_refused():
    with pytest.raises(ValueError, match="at least 1 and 3"):
        worst_case(horizons=(16, 32))
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        worst_case(["linaer"])
