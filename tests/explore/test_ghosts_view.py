"""The tab of ghosts shows the zeros that were computed; the slider counts the samples within its disk."""

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.explore.ghosts_view import GHOSTS
from workbench.explore.still import Stills
from workbench.stability import nearest_ghosts, ray, zeros


@pytest.fixture(scope="module")
def ghosts(classifier):
    return nearest_ghosts(classifier, "gradient", 6)


@pytest.fixture
def explorer(classifier):
    explorer = wb.explore.taylor_radius(classifier, samples=6).show("Ghosts")
    explorer.job.run()
    explorer.job.wait(60)
    return explorer


def test_run_draws_each_zero_and_its_conjugate_coloured_by_the_margin(explorer, ghosts):
    assert list(explorer.controls) == ["direction", "samples", "seed"]
    dots, middle = explorer.figure.data
    expected = ghosts.zeros.numpy().ravel()
    drawn = np.array(dots.x) + 1j * np.array(dots.y)
    np.testing.assert_allclose(drawn, np.concatenate([expected, expected.conj()]))
    np.testing.assert_allclose(dots.marker.color, np.tile(np.repeat(ghosts.margin.numpy(), 4), 2))
    assert set(dots.marker.symbol) == {"circle"}
    assert [int(row) for row, _ in dots.customdata[:24:4]] == ghosts.rows.tolist()
    assert (middle.x, middle.y) == ((0,), (0,))


def test_the_slider_counts_the_samples_in_the_disk_without_a_kernel(explorer, ghosts):
    nearest = ghosts.zeros.abs()[:, 0].numpy()
    (slider,) = explorer.figure.layout.sliders
    counts = []
    for place, step in enumerate(slider.steps):
        (change,) = step.args
        size = change["shapes[0].x1"]
        corners = [change[f"shapes[0].{corner}"] for corner in ("x0", "y0", "y1")]
        assert corners == [-size, -size, size]
        assert change["sliders[0].active"] == place
        counts.append(int((nearest < size).sum()))
        assert f"{counts[-1]} of 6 samples" in change["title.text"]
    assert (counts[0], counts[-1]) == (0, 6)
    shape = explorer.figure.layout.shapes[0]
    assert shape.x1 == slider.steps[slider.active].args[0]["shapes[0].x1"]
    assert abs(shape.x1 - nearest[0]) <= slider.steps[1].args[0]["shapes[0].x1"]


def test_what_is_not_certified_is_a_cross_and_what_is_not_there_is_left_out(ghosts):
    found = ghosts.zeros.clone()
    found[1, 3] = complex("nan+nanj")
    certified = ghosts.certified.clone()
    certified[0] = False
    figure = GHOSTS.figure()
    GHOSTS.draw(figure, {"ghosts": ghosts.replace(zeros=found, certified=certified)})
    dots, _ = figure.data
    assert len(dots.x) == 2 * 23
    assert dots.marker.symbol[:5] == ("x", "x", "x", "x", "circle")
    assert dots.text[:5] == ("NOT certified",) * 4 + ("",)


def test_samples_whose_logits_do_not_move_have_nothing_to_draw():
    figure = GHOSTS.figure()
    GHOSTS.draw(figure, {"ghosts": zeros(torch.zeros(2, 3), torch.ones(2, 3))})
    assert not figure.data[0].x


def test_a_report_shows_both_tabs(classifier, ghosts, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    stills = wb.explore.taylor_radius(classifier, ray(classifier, "gradient", points=3), ghosts)
    assert isinstance(stills, Stills)
    assert len(stills.stills) == 2


def test_the_code_gives_the_same_ghosts(explorer, classifier):
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace["ghosts"].frame().equals(explorer.results["ghosts"].frame())
