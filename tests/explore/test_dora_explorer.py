"""The tabs of DoRA show what was computed, and their code gives the same."""

import numpy as np
import pytest

import workbench as wb
from workbench.adaptation import AdaptationContest, AdaptationCurvature, NormCosts, gain_errors
from workbench.adaptation.contest import MEASURES
from workbench.adaptation.costs import KINDS
from workbench.adaptation.gains import PATHS
from workbench.explore.adaptation_curvature_view import ADAPTATION_CURVATURE
from workbench.explore.adaptation_view import ADAPTATION
from workbench.explore.gain_view import GAIN
from workbench.explore.norm_cost_view import NORM_COST
from workbench.explore.still import Stills

QUICK = {"draws": 2, "rounds": 2, "widths": [16, 32], "ranks": [2], "rates": [0.01], "examples": 32}
QUICK |= {"epochs": 1, "pretraining": 1, "width": 16, "blocks": 1, "seeds": 1, "rank": 1, "products": 4}


def costs() -> NormCosts:
    random = np.random.default_rng(0)
    seconds, held = random.uniform(1, 2, (4, 3, 2, 5)), random.integers(1, 9, (4, 3, 2))
    widths, ranks = np.array([8, 16, 32]), np.array([2, 4])
    return NormCosts(KINDS, widths, ranks, seconds, held, seconds[..., 0], "float32", 1)


def contest() -> AdaptationContest:
    values = np.random.default_rng(0).uniform(1, 2, (len(MEASURES), 2, 3, 4))
    return AdaptationContest(
        "turned", ("full", "dora"), np.array([0.01, 0.1, 1.0]), (9, 4), values, np.full(4, 0.1), 2, 100, 1,
        "adamw",
    )  # fmt: skip


def curvature() -> AdaptationCurvature:
    values = np.arange(1.0, 13.0).reshape(2, 2, 3)
    return AdaptationCurvature(
        "turned", "hessian", {"full": 0.01, "dora": 0.1}, (9, 4), values, values, -values, values,
        np.array([5, 6]), 2, 100, 1,
    )  # fmt: skip


def test_run_draws_the_errors_of_the_gain():
    explorer = wb.explore.dora(**QUICK).show("Near 1")
    assert list(explorer.controls) == list(GAIN.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = gain_errors(draws=2)
    for place, measure in enumerate(("change", "output", "gain")):
        for path, line in zip(PATHS, explorer.figure.data[4 * place : 4 * place + 4], strict=True):
            mean, error = found.curve(path, measure)
            if path == "whole output" and measure == "change":
                assert line.y[0] is None
                continue
            np.testing.assert_allclose(line.y, mean)
            np.testing.assert_allclose(line.error_y.array, 2 * error)
    assert explorer.figure.data[12].x == (found.zone, found.zone)


def test_costs_show_quartiles_against_both_axes():
    found, figure = costs(), NORM_COST.figure()
    NORM_COST.draw(figure, {"costs": found})
    dense = figure.data[5]  # seconds against the rank, the second kind
    low, median, high = np.quantile(found.seconds[1, -1], (0.25, 0.5, 0.75), axis=-1)
    np.testing.assert_allclose(dense.x, found.ranks)
    np.testing.assert_allclose(dense.y, median)
    np.testing.assert_allclose(dense.error_y.array, high - median)
    np.testing.assert_allclose(dense.error_y.arrayminus, median - low)
    np.testing.assert_allclose(figure.data[8].y, found.bytes[0, :, -1])  # against the width
    assert "width 32, rank 4" in figure.layout.title.text


def test_trainings_show_intervals_and_the_chosen_rate():
    found, figure = contest(), ADAPTATION.figure()
    ADAPTATION.draw(figure, {"contest": found})
    line, point = figure.data[4:6]  # dora's accuracy, after those of full and lora
    means, halves = zip(*(found.mean("dora", "test_accuracy", rate) for rate in found.rates), strict=True)
    np.testing.assert_allclose(line.y, means)
    np.testing.assert_allclose(line.error_y.array, halves)
    np.testing.assert_allclose(line.customdata, found.rates)
    np.testing.assert_allclose(point.y, found.mean("dora", "test_accuracy")[0])
    assert line.name == "dora, 4 parameters"
    assert figure.data[2].visible is False  # lora was not trained
    np.testing.assert_allclose(figure.data[-1].y, 0.1)


def test_curvature_shows_every_seed_before_and_after():
    found, figure = curvature(), ADAPTATION_CURVATURE.figure()
    ADAPTATION_CURVATURE.draw(figure, {"curvature": found})
    points, mean = figure.data[10:12]  # dora's eigenvalue after, the third method's second moment
    np.testing.assert_allclose(points.y, [10, 11, 12])
    assert (mean.y[0], mean.error_y.array[0]) == pytest.approx(found.mean("dora", "after", "eigenvalue"))
    np.testing.assert_allclose(figure.data[16 + 10].y, 2 / np.array([10, 11, 12]))
    np.testing.assert_allclose(figure.data[32 + 10].y, [-10, -11, -12])
    assert figure.data[4].visible is False  # lora was not measured
    assert "rates: full 0.01, dora 0.1" in figure.layout.title.text


def timeless(text: str) -> list[str]:
    """A summary without the lines that hold a time of this run."""
    return [line for line in text.splitlines() if " ms " not in line]


@pytest.mark.parametrize(
    ("view", "name"),
    [(GAIN, "gains"), (NORM_COST, "costs"), (ADAPTATION, "contest")],
    ids=["gains", "costs", "contest"],
)
def test_the_code_gives_the_same_result(view, name):
    values = view.chosen(wb.parameters.read_notebook("dora").validate(QUICK))
    scope = {}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert timeless(scope[name].summary()) == timeless(view.results(None, values)[name].summary())
    assert view.estimate is None or view.estimate(None, values).seconds > 0


def test_the_code_of_curvature_names_what_was_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(
        wb.adaptation, "adaptation_curvature", lambda **given: asked.append(given) or curvature()
    )
    values = ADAPTATION_CURVATURE.chosen(wb.parameters.read_notebook("dora").validate(QUICK))
    exec(ADAPTATION_CURVATURE.code(values), {})
    assert asked == [{name: values[name] for name in ADAPTATION_CURVATURE.controls}]
    assert ADAPTATION_CURVATURE.estimate(None, values).seconds > 0


def test_the_start_page_hands_over_a_problem_that_is_left_alone(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    gains = gain_errors([0.01], rows=4, columns=4)
    assert isinstance(wb.explore.dora(classifier, gains, costs(), contest(), curvature()), Stills)
