"""The tabs of entropy models show what was computed; the slider holds all that it changes."""

import dataclasses

import numpy as np
import pytest

import workbench as wb
from workbench.compression import EntropyContest, noise_gap
from workbench.compression.entropy_network import KINDS
from workbench.compression.noise_gaps import SHAPES
from workbench.explore.entropy_contest_view import ENTROPY_CONTEST
from workbench.explore.noise_gap_view import GAP
from workbench.explore.still import Stills

QUICK = {"scales": 4, "context": "frequency", "pictures": 2, "steps": 2}


def contest(pictures: int = 3) -> EntropyContest:
    names = tuple("abcdefg"[:pictures])
    sizes = 1000.0 + np.arange(2 * pictures).reshape(2, pictures) ** 2
    shapes, quality = np.ones((2, pictures)), np.full((2, pictures), 40.0)
    return EntropyContest(
        ("gaussian", "shared"), names, sizes, sizes + 5, shapes, quality, 1000,
        "region", "rounding", "tail", 16.0, 12.0, 10, 0,
    )  # fmt: skip


def test_run_draws_the_gaps():
    explorer = wb.explore.entropy_models(**QUICK).show("Noise and rounding")
    assert list(explorer.controls) == list(GAP.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = noise_gap(scales=4)
    for place in range(len(SHAPES)):
        np.testing.assert_allclose(explorer.figure.data[place].y, found.noisy[place] - found.rounded[place])


def test_the_slider_goes_through_the_shapes():
    found = noise_gap((0.8, 2.0), scales=3)
    figure = GAP.figure()
    GAP.draw(figure, {"gap": found})
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["0.8", "2"]
    for place, step in enumerate(slider.steps):
        data, layout, traces = step.args
        np.testing.assert_allclose(data["y"][0], found.rounded[place])
        np.testing.assert_allclose(data["y"][1], found.noisy[place])
        np.testing.assert_allclose(np.ravel(data["x"][2:]), found.bounds[:, place])
        assert [figure.data[trace].name for trace in traces][:2] == ["rounded", "with noise"]
        assert f"β = {found.shapes[place]:g}" in layout["title.text"]
    assert figure.data[2].y == ()  # there are two shapes
    assert figure.data[1].name == "β = 2"


@pytest.mark.parametrize("pictures", [1, 3])
def test_the_contest_shows_every_picture_and_the_intervals(pictures):
    found = contest(pictures)
    figure = ENTROPY_CONTEST.figure()
    ENTROPY_CONTEST.draw(figure, {"contest": found})
    assert len(figure.data) == 4 * len(KINDS)
    points, mean = figure.data[4:6]  # shared, its rate
    np.testing.assert_allclose(points.y, found.coded[1] / 1000)
    assert list(points.text) == list(found.pictures)
    assert mean.error_y.array[0] == (pytest.approx(found.rate("shared")[1]) if pictures > 1 else None)
    np.testing.assert_allclose(figure.data[12].y, 100 * (1 - found.coded[1] / found.coded[0]))
    assert figure.data[2].y == ()  # laplace was not asked for
    assert figure.layout.yaxis2.title.text == "saved beside gaussian (%)"


def test_the_axis_names_the_family_that_others_are_compared_with():
    figure = ENTROPY_CONTEST.figure()
    ENTROPY_CONTEST.draw(figure, {"contest": dataclasses.replace(contest(), kinds=("laplace", "shared"))})
    assert figure.layout.yaxis2.title.text == "saved beside laplace (%)"


@pytest.mark.parametrize(("view", "name"), [(GAP, "gap"), (ENTROPY_CONTEST, "contest")])
def test_the_code_gives_the_same_result(view, name):
    values = view.chosen(wb.parameters.read_notebook("entropy_models").validate(QUICK))
    scope = {}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(None, values)[name].summary()
    assert view.estimate is None or view.estimate(None, values).seconds > 0


def test_the_start_page_hands_over_a_problem_that_is_left_alone(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    gap = noise_gap((1.0,), scales=3)
    assert isinstance(wb.explore.entropy_models(classifier, gap, contest()), Stills)
