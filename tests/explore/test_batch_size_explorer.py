"""The tabs of the batch size show what was computed; each slider holds all that it changes."""

import ipywidgets as widgets
import numpy as np
import pytest

import workbench as wb
from workbench.explore.learner_view import LEARNER
from workbench.explore.predicted_rates_view import PREDICTED_RATES
from workbench.explore.stable_rates_view import STABLE_RATES
from workbench.explore.still import Stills
from workbench.stability.batch_size import compare_learner, measure_stable_rates, predict_rates

QUICK = {"k": 1, "sizes": [4, 16, 64], "batches": 2, "rates": 4, "steps": 5, "seeds": 2, "epochs": 2}
QUICK |= {"batch_size": 8, "examples": 24}


@pytest.fixture(scope="module")
def stable(classifier):
    return measure_stable_rates(classifier, [4, 16], rates=4, steps=3, seeds=2)


@pytest.fixture(scope="module")
def contest(classifier):
    return compare_learner(classifier, batch_size=5, examples=20, epochs=2, seeds=2)


def test_run_draws_the_predicted_rates(classifier):
    explorer = wb.explore.batch_size(classifier, **QUICK).show("Predicted rates")
    assert list(explorer.controls) == list(PREDICTED_RATES.controls)
    assert isinstance(next(iter(explorer.controls.values())), widgets.IntSlider)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = predict_rates(classifier, [4, 16, 30], 1, batches=2)  # sizes are cut to the examples
    rates, errors = found.sgd("measured")
    np.testing.assert_allclose(explorer.figure.data[0].y, rates)
    np.testing.assert_allclose(explorer.figure.data[0].error_y.array, 2 * errors)
    np.testing.assert_allclose(explorer.figure.data[1].y, found.sgd("along")[0])
    np.testing.assert_allclose(explorer.figure.data[-1].y, found.damping())
    assert explorer.figure.layout.shapes[0].x0 == found.critical_size[0]


def test_the_slider_shows_the_map_of_each_optimizer(stable):
    figure = STABLE_RATES.figure()
    STABLE_RATES.draw(figure, {"stable": stable})
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == list(stable.optimizers)
    for place, step in enumerate(slider.steps):
        data, layout, traces = step.args
        pairs = zip(traces, data["visible"], strict=True)
        shown = [figure.data[number] for number, seen in pairs if seen and number >= 6]
        assert data["showlegend"] == [number in (1, 3, 5) for number in traces]
        assert [trace.type for trace in shown] == ["heatmap", "scatter"]
        np.testing.assert_allclose(shown[0].z, (stable.ratios[place] <= 1).mean(-1).T)
        np.testing.assert_allclose(shown[1].y, stable.mean(step.label)[0])
        assert layout["title.text"].startswith(f"{step.label}: B^")
    np.testing.assert_allclose(figure.data[0].y, stable.mean("sgd")[0])
    assert [trace.visible for trace in figure.data[6:8]] == [True, True]


def test_an_optimizer_that_was_not_run_is_left_out(classifier):
    figure = STABLE_RATES.figure()
    found = measure_stable_rates(classifier, [4, 16], optimizers=["adam"], rates=3, steps=2, seeds=2)
    STABLE_RATES.draw(figure, {"stable": found})
    assert figure.data[0].y == ()
    assert len(figure.data[4].y) == 2
    assert [step.label for step in figure.layout.sliders[0].steps] == ["adam"]


def test_the_slider_goes_through_the_learners(contest):
    figure = LEARNER.figure()
    LEARNER.draw(figure, {"contest": contest})
    assert figure.data[1].name == "corrected"
    np.testing.assert_allclose(figure.data[2].y, contest.mean_learnt(contest.learners[1]))
    count = contest.passes + 1
    np.testing.assert_allclose(figure.data[0].y[:count], contest.mean_fixed(0))
    assert figure.data[0].y[count] is None
    (slider,) = figure.layout.sliders
    for found, step in zip(contest.learners, slider.steps, strict=True):
        data, layout, traces = step.args
        assert list(traces) == [0, 1, 2, 3, 4, 5]
        np.testing.assert_allclose(data["y"][4][:2], found.rates[:, 0])
        assert data["name"][0] == "fixed"
        assert layout["title.text"].startswith(found.name)


@pytest.mark.parametrize(
    ("view", "name"), [(PREDICTED_RATES, "predicted"), (STABLE_RATES, "stable"), (LEARNER, "contest")]
)
def test_the_code_gives_the_same_result(view, name, classifier):
    values = view.chosen(wb.parameters.read_notebook("batch_size").validate(QUICK))
    scope = {"problem": classifier}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(classifier, values)[name].summary()
    assert view.estimate(classifier, values).seconds > 0


def test_a_report_shows_a_still_of_each(classifier, stable, contest, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    predicted = predict_rates(classifier, [4, 16], 1, batches=2)
    assert isinstance(wb.explore.batch_size(classifier, predicted, stable, contest), Stills)
