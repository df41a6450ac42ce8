"""Numbers are written with their intervals, and warnings with their number."""

import math

import pytest

from workbench.overview import Caution, Finding


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding.exact("parameters", 4215), "4,215"),
        (Finding.exact("dead units", 0.0625, "%"), "6.25 %"),
        (Finding.exact("loss", 0.01336), "0.0134"),
        (Finding.within("noise scale", 451.3, 170.2, "standard error", "examples"), "451 ± 170 examples"),
        (Finding("accuracy", 0.971, 0.95, 0.985, "95 %", "%"), "97.1 [95, 98.5] %"),
        (Finding("largest", 2.0, kind="of one seed"), "2"),
    ],
)
def test_text(finding: Finding, text: str) -> None:
    assert finding.text == text


def test_errors_are_to_both_sides() -> None:
    found = Finding.within("trace", 10, 2, "standard error")
    assert (found.low, found.high, found.kind) == (8, 12, "± standard error")
    assert found.summary() == "trace: 10 ± 2 (± standard error)"


def test_an_estimate_from_few_draws_has_no_interval() -> None:
    few, enough = (Finding.estimated("trace", 10, 2, count, "probes") for count in (4, 5))
    assert (few.text, few.kind) == ("10", "from 4 probes: too few for an interval")
    assert (enough.text, enough.kind) == ("10 ± 2", "± standard error")


def test_a_caution_says_its_number_and_where_it_begins() -> None:
    found = Caution("units are dead", "dead units of relu", 0.3125, 0.2)
    assert found.sentence == "Units are dead."
    assert found.number == "0.312, warned of at 0.2"
    assert math.isnan(Caution("a gap", "gap", 0.1).threshold)
