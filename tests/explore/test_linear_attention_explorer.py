"""The tabs of linear attention show what was computed; the slider holds all that it changes."""

import numpy as np
import pytest

import workbench as wb
from workbench.attention import AttentionContest, entropy_curves
from workbench.attention.entropy import KINDS
from workbench.explore.attention_contest_view import CONTEST
from workbench.explore.entropy_view import ENTROPY
from workbench.explore.still import Stills
from workbench.problems.transformer import ATTENTION_KINDS

QUICK = {"dim": 4, "keys": 8, "draws": 6, "epochs": 1, "width": 16, "blocks": 1, "seeds": 1}
NORMS = (0.5, 1.0, 2.0)


def contest(seeds: int = 3) -> AttentionContest:
    values = np.arange(3 * 2 * seeds, dtype=float).reshape(3, 2, seeds) ** 1.5
    return AttentionContest("text-gpt", ("softmax", "elu"), (10, 10), values, 1, 16, 1)


def test_run_draws_the_entropies():
    explorer = wb.explore.linear_attention(**QUICK).show("Entropy")
    assert list(explorer.controls) == list(ENTROPY.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = entropy_curves(dim=4, keys=8, draws=6)
    for place, kind in enumerate(KINDS):
        mean, error = found.curve(kind)
        np.testing.assert_allclose(explorer.figure.data[place].y, mean)
        np.testing.assert_allclose(explorer.figure.data[place].error_y.array, 2 * error)


def test_the_slider_goes_through_the_norms():
    found = entropy_curves(["softmax", "relu"], NORMS, dim=6, keys=20, draws=5)
    figure = ENTROPY.figure()
    ENTROPY.draw(figure, {"curves": found})
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["0.5", "1", "2"]
    for place, step in enumerate(slider.steps):
        data, layout, traces = step.args
        np.testing.assert_allclose(data["y"][0], found.ranked[0, place])
        assert data["y"][1] == []  # elu was not asked for
        assert [figure.data[trace].name for trace in traces] == list(KINDS)
        assert f"softmax {found.curve('softmax')[0][place]:.2f}" in layout["title.text"]
    np.testing.assert_allclose(figure.data[len(KINDS)].y, found.ranked[0, 1])


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_contest_shows_every_seed_and_the_intervals(seeds):
    found = contest(seeds)
    figure = CONTEST.figure()
    CONTEST.draw(figure, {"contest": found})
    assert len(figure.data) == 4 * len(ATTENTION_KINDS)
    points, mean = figure.data[2:4]  # elu's, of the loss
    np.testing.assert_allclose(points.y, found.values[1, 1])
    np.testing.assert_allclose(mean.y, found.values[1, 1].mean())
    assert mean.error_y.array[0] == (pytest.approx(found.mean("elu")[1]) if seeds > 1 else None)
    assert figure.data[5].y == ()  # norm-aware was not trained


@pytest.mark.parametrize(("view", "name"), [(ENTROPY, "curves"), (CONTEST, "contest")])
def test_the_code_gives_the_same_result(view, name):
    values = view.chosen(wb.parameters.read_notebook("linear_attention").validate(QUICK))
    scope = {}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(None, values)[name].summary()
    assert view.estimate is None or view.estimate(None, values).seconds > 0


def test_the_start_page_hands_over_a_problem_that_is_left_alone(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    curves = entropy_curves(["softmax"], NORMS, dim=4, keys=8, draws=5)
    assert isinstance(wb.explore.linear_attention(classifier, curves, contest()), Stills)
