"""Step rules, by their formulas."""

import math

import numpy as np
import pytest

from workbench.stability.last_iterates import rule_steps


def test_the_rules_by_hand():
    np.testing.assert_allclose(rule_steps("decaying", 3, 2.0), [2, 2 / math.sqrt(2), 2 / math.sqrt(3)])
    np.testing.assert_allclose(rule_steps("constant", 4, 2.0), [1, 1, 1, 1])
    np.testing.assert_allclose(rule_steps("linear", 4, 2.0), np.array([4, 3, 2, 1]) / 4)
    np.testing.assert_allclose(rule_steps("strongly convex", 2, convexity=0.5), [2, 4 / 3])
    np.testing.assert_allclose(rule_steps("constant", 8, power=1.5), np.full(8, 0.25))


@pytest.mark.parametrize("rule", ["decaying", "constant", "linear", "strongly convex"])
def test_no_step_is_above_half_of_the_inverse_smoothness(rule):
    steps = rule_steps(rule, 20, math.inf, smoothness=4.0, convexity=0.1)
    assert 0 < steps.min() <= steps.max() <= 1 / 8


def test_what_is_no_rule_is_refused():
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        rule_steps("linea", 3)
    with pytest.raises(ValueError, match="needs a strongly convex function"):
        rule_steps("strongly convex", 3)
    with pytest.raises(ValueError, match="base=0"):
        rule_steps("constant", 3, 0.0)
    with pytest.raises(ValueError, match="base=inf"):
        rule_steps("constant", 3, math.inf)
