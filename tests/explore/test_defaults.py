"""A control starts at what the function behind it takes by default."""

import dataclasses
import inspect

import pytest

from workbench.explore.analyses import ANALYSES
from workbench.explore.one_call import OneCall
from workbench.explore.remembered import remembered, result_key
from workbench.explore.smoothness_view import SMOOTHNESS
from workbench.parameters import read_notebook
from workbench.stability.smoothness import gradient_smoothness

CALL = OneCall("smoothness", gradient_smoothness, "gradient_smoothness", ("rank",), takes_problem=True)


def computed_once(problem, values):
    """What several views compute by one call."""
    results, _ = remembered(result_key("smoothness", problem, values), lambda: CALL.compute(problem, values))
    return results


def functions_behind(views):
    """All functions that views call to compute."""
    calls = [owner for view in views if isinstance(owner := getattr(view.compute, "__self__", None), OneCall)]
    waiting, found = [view.compute for view in views], [call.function for call in calls]
    for function in waiting:  # which grows: of what explorers share, the functions that it calls in turn
        for code in (function.__code__, *filter(inspect.iscode, function.__code__.co_consts)):
            for each in map(function.__globals__.get, code.co_names):
                if isinstance(each, OneCall):
                    found.append(each.function)
                shared = inspect.isfunction(each) and each.__module__.startswith("workbench.explore")
                if shared and each not in waiting:
                    waiting.append(each)
                elif inspect.isfunction(each) and not shared:
                    found.append(each)
    return found


def as_in_a_cell(default):
    """A parameters cell has lists where a function has a default that nobody can change."""
    return list(default) if isinstance(default, tuple) else default


def same_name(analysis):
    """The notebook's parameters that a function behind its explorer has a default for, with both defaults."""
    defaults = {each.name: each.default for each in read_notebook(analysis).parameters}
    return [
        (f"{function.__name__}({name})", defaults[name], as_in_a_cell(parameter.default))
        for function in functions_behind(ANALYSES[analysis].__globals__["VIEWS"])
        for name, parameter in inspect.signature(function).parameters.items()
        if name in defaults and parameter.default is not inspect.Parameter.empty
    ]


@pytest.mark.parametrize("analysis", ANALYSES)
def test_the_notebook_and_the_function_agree(analysis):
    for where, in_notebook, in_function in same_name(analysis):
        assert in_notebook == in_function, where


def test_the_functions_are_found():
    names = [where for where, _, _ in same_name("curvature")]
    assert "gradient_smoothness(rank)" in [where for where, _, _ in same_name("smoothness")]
    assert {"eigenpairs(k)", "eigenpairs(which)", "spectral_density(probes)", "along(k)"} <= set(names)


def test_a_call_that_views_share_is_found():
    assert gradient_smoothness in functions_behind([dataclasses.replace(SMOOTHNESS, compute=computed_once)])
