"""A view of one call: what it computes, and the code for it."""

import dataclasses

import pytest

from workbench.explore.one_call import OneCall


@dataclasses.dataclass
class Found:
    arguments: tuple
    interrupted: bool = False


def test_controls_are_arguments_and_the_problem_comes_first():
    call = OneCall(
        "found", lambda *first, **rest: Found((first, rest)), "f", ("a", "b"), "m", takes_problem=True
    )
    values = {"a": 1, "b": "x", "c": 3}
    assert call.compute("problem", values)["found"].arguments == (("problem",), {"a": 1, "b": "x"})
    assert call.code(values).splitlines()[:3] == ["from m import f", "", "found = f(problem, a=1, b='x')"]


def test_without_a_problem_it_is_found_from_the_package_on():
    call = OneCall("found", lambda **rest: Found(tuple(rest)), "wb.f", ("a",))
    assert call.compute(None, {"a": 1})["found"].arguments == ("a",)
    assert call.code({"a": [1.5]}) == (
        "import workbench as wb\n\nfound = wb.f(a=[1.5])\nfound.plot()\nprint(found.summary())"
    )


def test_a_result_that_was_cut_short_is_none():
    with pytest.raises(KeyboardInterrupt):
        OneCall("found", lambda: Found((), interrupted=True), "wb.f", ()).compute(None, {})
