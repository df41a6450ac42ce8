"""The tabs of schedules show what was computed; each slider holds all that it changes."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore.last_iterates_view import LAST_ITERATES
from workbench.explore.schedule_contest_view import SCHEDULE_CONTEST
from workbench.explore.still import Stills
from workbench.stability.experiments import compare_schedules
from workbench.stability.last_iterates import RULES, sample_runs
from workbench.stability.schedules import shape

QUICK = {"horizons": [4, 8, 16], "runs": 1000, "dim": 1, "problems": ["iris", "wine"], "steps": 20}


@pytest.fixture(scope="module")
def contest():
    return compare_schedules(["iris", "wine"], steps=20, seeds=2)


def test_run_draws_the_means_and_the_bounds():
    explorer = wb.explore.schedules(**QUICK).show("Last iterates")
    assert list(explorer.controls) == list(LAST_ITERATES.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = sample_runs(horizons=[4, 8, 16], runs=1000, dim=1)
    for place, rule in enumerate(found.rules):
        mean, error = found.mean(rule)
        np.testing.assert_allclose(explorer.figure.data[place].y, mean)
        np.testing.assert_allclose(explorer.figure.data[place].error_y.array, 2 * error)
        np.testing.assert_allclose(explorer.figure.data[place + len(RULES)].y, found.bounds[place])
    assert explorer.figure.data[3].y == ()  # the fourth rule is for the quadratic


def test_noise_without_variance_has_a_bound_of_its_own():
    figure = LAST_ITERATES.figure()
    found = sample_runs(noise="pareto", horizons=(4, 8), runs=200)
    LAST_ITERATES.draw(figure, {"sampled": found})
    np.testing.assert_allclose(figure.data[len(RULES)].y, found.bounds[0])
    plain = sample_runs(noise="pareto", horizons=(4, 8), runs=200, mirror=False)
    LAST_ITERATES.draw(figure, {"sampled": plain})
    assert figure.data[len(RULES)].y == (None, None)


def test_the_slider_goes_through_the_iterates():
    found = sample_runs("quadratic", horizons=(4, 8), runs=200)
    figure = LAST_ITERATES.figure()
    LAST_ITERATES.draw(figure, {"sampled": found})
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["last", "average", "suffix"]
    for step in slider.steps:
        data, layout, traces = step.args
        assert list(traces) == [0, 1, 2, 3]
        np.testing.assert_allclose(data["y"][3], found.mean("strongly convex", step.label)[0])
        assert f"linear T^{found.slope('linear', step.label).value:.2f}" in layout["title.text"]


def test_the_contest_shows_the_ratios_and_the_slider_the_schedules(contest):
    figure = SCHEDULE_CONTEST.figure()
    SCHEDULE_CONTEST.draw(figure, {"contest": contest})
    refined = figure.data[3]
    assert refined.name == "refined"
    ratios = [contest.ratio(problem, "refined") for problem in contest.problems]
    np.testing.assert_allclose(refined.x, [each.mean for each in ratios])
    np.testing.assert_allclose(refined.error_x.array, [each.high - each.mean for each in ratios])
    np.testing.assert_allclose(figure.data[6].y, shape("linear", 20))
    (slider,) = figure.layout.sliders
    for place, step in enumerate(slider.steps):
        data, layout, traces = step.args
        assert [figure.data[trace].name for trace in traces] == ["norm", "refined schedule"]
        np.testing.assert_allclose(data["y"][1], contest.refined[place, 0])
        assert step.label in layout["title.text"]


@pytest.mark.parametrize(("view", "name"), [(LAST_ITERATES, "sampled"), (SCHEDULE_CONTEST, "contest")])
def test_the_code_gives_the_same_result(view, name):
    values = view.chosen(wb.parameters.read_notebook("schedules").validate(QUICK))
    scope = {}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(None, values)[name].summary()
    assert view.estimate(None, values).seconds > 0


def test_the_start_page_hands_over_a_problem_that_is_left_alone(classifier, contest, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    sampled = sample_runs(horizons=(4, 8), runs=200)
    assert isinstance(wb.explore.schedules(classifier, sampled, contest), Stills)
