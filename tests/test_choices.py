"""Numbers that are refused, and how that is said."""

import math

import numpy as np
import pytest

from workbench.choices import check_number


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "allowed"),
    [
        ({"low": 0}, (0, 0.0, 3, math.inf, np.float32(2)), (-1e-9, -math.inf), "at least 0"),
        ({"above": 0}, (1e-300, math.inf), (0, -1.0), "positive"),
        ({"above": 0, "below": math.inf}, (5,), (0, math.inf), "positive and finite"),
        ({"low": 1, "below": math.inf}, (1, 1e300), (0.9, math.inf), "at least 1 and finite"),
        ({"above": 0, "below": 1}, (0.5,), (0, 1, 2), "between 0 and 1"),
        ({"low": 0, "below": 1}, (0, 0.9), (1.0, -0.1), "at least 0 and below 1"),
        ({"above": 2}, (2.1,), (2,), "above 2"),
        ({"low": 0, "above": 0, "below": math.inf}, (0.1,), (0,), "positive and finite"),
    ],
)
def test_what_is_out_of_range_is_refused_with_what_is_allowed(bounds, inside, outside, allowed) -> None:
    for value in inside:
        check_number("x", value, **bounds)
    for value in (*outside, math.nan):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            check_number("x", value, **bounds)
        assert str(error.value) == f"x={value} is out of range: it must be {allowed}"


@pytest.mark.parametrize("value", ["1", None, True, 1j, [1.0]])
def test_what_is_no_number_is_a_wrong_type(value) -> None:
    with pytest.raises(TypeError, match=r"^x=.* is a \w+: pass a number or a word$"):
        check_number("x", value, other=" or a word")
