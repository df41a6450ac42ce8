"""The tabs of smoothness show what was computed."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore.descents_view import DESCENTS
from workbench.explore.smoothness_view import SMOOTHNESS
from workbench.explore.still import Stills
from workbench.stability.smoothness import (
    METHODS,
    compare_descents,
    gradient_smoothness,
    log_sum_exp_problem,
    network_problem,
)

QUICK = {"eigenvectors": 1, "random": 1, "iterations": 2, "objective": "log-sum-exp"}


@pytest.fixture(scope="module")
def problem():
    return network_problem(2, examples=12)


def test_run_draws_the_errors_and_the_radius(problem):
    explorer = wb.explore.smoothness(problem, **QUICK).show("Smoothness")
    assert list(explorer.controls) == list(SMOOTHNESS.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = gradient_smoothness(problem, eigenvectors=1, random=1)
    drawn = [y for trace in explorer.figure.data[:4] for y in trace.y if y is not None]
    np.testing.assert_allclose(sorted(drawn), sorted(found.samples[:, 2]))
    assert explorer.figure.data[5].x == (found.gamma, found.gamma)
    x, y = explorer.figure.data[4].x, explorer.figure.data[4].y
    np.testing.assert_allclose(np.array(x) * np.array(y), 1)


def test_methods_that_were_left_out_have_no_line():
    found = compare_descents([log_sum_exp_problem(4, 12)], ["Newton (hessian)", "L-BFGS"], iterations=4)
    figure = DESCENTS.figure()
    DESCENTS.draw(figure, {"contest": found})
    names = [trace.name for trace in figure.data[: len(METHODS)] if len(trace.x)]
    assert names == ["Newton (hessian)", "L-BFGS"]
    newton, beside = figure.data[0], figure.data[len(METHODS)]
    gap = found.descents[0][0].losses - found.lowest(0)
    np.testing.assert_allclose([y for y in newton.y if y is not None], gap[gap > 0])
    np.testing.assert_allclose(beside.x, found.descents[0][0].work)


@pytest.mark.parametrize(("view", "name"), [(SMOOTHNESS, "smoothness"), (DESCENTS, "contest")])
def test_the_code_gives_the_same_result(view, name, problem):
    values = view.chosen(wb.parameters.read_notebook("smoothness").validate(QUICK))
    scope = {"problem": problem}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(problem, values)[name].summary()
    assert view.estimate is None or view.estimate(problem, values).seconds > 0


def test_a_report_shows_both(problem, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    measured = gradient_smoothness(problem, eigenvectors=1, random=1)
    contest = compare_descents([log_sum_exp_problem(4, 12)], ["L-BFGS"], iterations=4)
    assert isinstance(wb.explore.smoothness(problem, measured, contest), Stills)
