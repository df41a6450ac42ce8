"""A control starts at what the function behind it takes by default."""

import inspect

import pytest

from workbench.explore.analyses import ANALYSES
from workbench.parameters import read_notebook


def functions_behind(explore):
    """All functions that its views call to compute."""
    computations = [view.compute for view in explore.__globals__["VIEWS"]]
    named = [each.__globals__.get(name) for each in computations for name in each.__code__.co_names]
    return [each for each in named if inspect.isfunction(each)]


def as_in_a_cell(default):
    """A parameters cell has lists where a function has a default that nobody can change."""
    return list(default) if isinstance(default, tuple) else default


def same_name(analysis):
    """The notebook's parameters that a function behind its explorer has a default for, with both defaults."""
    defaults = {each.name: each.default for each in read_notebook(analysis).parameters}
    return [
        (f"{function.__name__}({name})", defaults[name], as_in_a_cell(parameter.default))
        for function in functions_behind(ANALYSES[analysis])
        for name, parameter in inspect.signature(function).parameters.items()
        if name in defaults and parameter.default is not inspect.Parameter.empty
    ]


@pytest.mark.parametrize("analysis", ANALYSES)
def test_the_notebook_and_the_function_agree(analysis):
    for where, in_notebook, in_function in same_name(analysis):
        assert in_notebook == in_function, where


def test_the_functions_are_found():
    names = [where for where, _, _ in same_name("curvature")]
    assert {"eigenpairs(k)", "eigenpairs(which)", "spectral_density(probes)"} <= set(names)
