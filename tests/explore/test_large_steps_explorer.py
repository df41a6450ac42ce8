"""The tabs of large steps show what was computed; the slider holds all that it changes."""

import math

import ipywidgets as widgets
import numpy as np
import pytest

import workbench as wb
from workbench.explore.large_step_runs_view import LARGE_STEP_RUNS
from workbench.explore.step_sizes_view import STEP_SIZES
from workbench.explore.still import Stills
from workbench.stability.large_steps import example_sets, follow_runs, sweep_step_sizes
from workbench.stability.large_steps.example_sets import KINDS
from workbench.stability.large_steps.followed_runs import FLOOR

QUICK = {"examples": 10, "steps": 12, "kinds": ["separable", "contradictory"], "pairs": ["1/8"]}
QUICK |= {"draws": 2, "limit": 40}
RATES = (1.0, 1e4, math.inf)


def runs():
    return follow_runs(example_sets(["separable"], ["1/8"], seeds=[0], examples=10), RATES, steps=12)


def sweep():
    return sweep_step_sizes(example_sets(["close", "imbalanced"], ["1/8"], examples=10), RATES, limit=60)


def test_run_draws_the_runs():
    explorer = wb.explore.large_steps(**QUICK).show("Runs")
    assert list(explorer.controls) == list(LARGE_STEP_RUNS.controls)
    assert isinstance(next(iter(explorer.controls.values())), widgets.IntSlider)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = follow_runs(example_sets(["separable"], ["1/8"], seeds=[0], examples=10), steps=12)
    rate = found.rates[len(found.rates) // 2]
    for place, rule in ((2, "gradient descent"), (3, "normalised")):
        shown = explorer.figure.data[place].y
        np.testing.assert_allclose(shown, found.curve("wrong", rate, rule)[: len(shown)])


def test_the_slider_goes_through_the_step_sizes():
    found = runs()
    figure = LARGE_STEP_RUNS.figure()
    LARGE_STEP_RUNS.draw(figure, {"runs": found})
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["1", "10000", "∞"]
    for place, step in enumerate(slider.steps):
        data, layout, traces = step.args
        assert list(traces) == [0, 1, 2, 3, 4, 5]
        expected = found.loss[1, place][: len(data["y"][1])]
        expected = np.where(expected < FLOOR, np.nan, expected)
        np.testing.assert_allclose(np.array(data["y"][1], dtype=float), expected)
        ratio = np.array(data["y"][4], dtype=float)
        known = np.isfinite(ratio)
        np.testing.assert_allclose(ratio[known], found.ratio[0, place][: len(ratio)][known])
        end = found.steps[0, place]
        told = "not within the steps" if math.isnan(end) else f"after {end:.0f}"
        assert f"gradient descent {told}" in layout["title.text"]
    assert all(value is None for value in slider.steps[2].args[0]["y"][0])  # the perceptron has no loss


def test_the_step_sizes_show_medians_and_bounds():
    found = sweep()
    figure = STEP_SIZES.figure()
    STEP_SIZES.draw(figure, {"sweep": found})
    table = found.by_rate()
    part = table[(table["kind"] == "imbalanced") & (table["rule"] == "normalised")]
    first = 2 * len(KINDS) + 2 * KINDS.index("imbalanced")
    steps, bound = figure.data[first], figure.data[first + 1]
    assert steps.name == "imbalanced"
    expected = [None if math.isinf(value) else value for value in part["steps"]]
    assert list(steps.y) == expected
    np.testing.assert_allclose(bound.y, part["bound"])
    assert figure.data[0].y == ()  # separable was not asked for
    assert list(figure.layout.xaxis.ticktext)[-1] == "∞"


@pytest.mark.parametrize(("view", "name"), [(LARGE_STEP_RUNS, "runs"), (STEP_SIZES, "sweep")])
def test_the_code_gives_the_same_result(view, name):
    values = view.chosen(wb.parameters.read_notebook("large_steps").validate(QUICK))
    scope = {}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(None, values)[name].summary()
    assert view.estimate(None, values).seconds > 0


def test_the_start_page_hands_over_a_problem_that_is_left_alone(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    assert isinstance(wb.explore.large_steps(classifier, runs(), sweep()), Stills)
