"""The explorer of stability shows what its functions found, in its tabs."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import workbench as wb
from workbench.explore import linear_stability_view, training_cost
from workbench.explore.live_training_view import LIVE_TRAINING
from workbench.explore.stability_explorer import VIEWS
from workbench.explore.still import Stills
from workbench.explore.tabs import Tabs
from workbench.parameters import read_notebook
from workbench.stability.experiments import edge_of_stability
from workbench.stability.minima import PROBES

QUICK = {"ratios": [1.1, 5.0], "runs": 1, "edge_steps": 40, "edge_examples": 60, "batch_sizes": [1, 4, 99]}


@pytest.fixture(scope="module")
def limits(regression):
    return wb.stability.linear_stability(regression, 0.3, [1, 4, 9])


@pytest.fixture(scope="module")
def edge():
    return edge_of_stability([1.1, 5.0], seeds=[0], steps=40, examples=60)


def run(explorer):
    explorer.job.run()
    explorer.job.wait(120)
    assert "Done" in explorer.job.status.value
    return explorer.figure


def test_run_draws_each_condition(regression, limits):
    tabs = wb.explore.stability(regression, **QUICK)
    assert isinstance(tabs, Tabs)
    explorer = tabs.show("Batch size and learning rate")
    assert set(explorer.controls) == {"learning_rate", "batch_sizes", "replacement"}
    figure = run(explorer)
    for trace, values in zip(figure.data, limits.limits.values(), strict=False):
        assert list(trace.x) == [1, 4, 9]  # 99 is more than there are
        drawn = [np.nan if y is None else y for y in trace.y]
        np.testing.assert_allclose(drawn, np.where(np.isfinite(values), values, np.nan))
    assert set(figure.data[-1].y) == {0.3}
    assert "does NOT fit every example" in figure.layout.title.text


def test_run_draws_the_trainings(regression, edge):
    figure = run(wb.explore.stability(regression, **QUICK).show("Edge of stability"))
    border, first, second, *others = figure.data
    assert list(border.y) == [1, 1]
    np.testing.assert_allclose(list(first.y)[:-1], edge.level[0, 0])
    np.testing.assert_allclose(list(second.y)[:-1], edge.level[1, 0])
    assert first.name == "threshold 1.1 × initial sharpness"
    assert not any(each.x for each in others)


def test_a_report_shows_all_views(regression, limits, edge, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    values = {"train_rate": 0.1, "train_steps": 3, "optimizer": "sgd", "train_every": 1, "seed": 0}
    trace = LIVE_TRAINING.results(regression, values)["trace"]
    stills = wb.explore.stability(regression, limits, edge, trace, **QUICK)
    assert isinstance(stills, Stills)
    assert len(stills.stills) == 3
    assert stills.stills[2].figure.data[0].x == (0, 1, 2)


@pytest.mark.parametrize(
    ("title", "name"), [("Batch size and learning rate", "limits"), ("Edge of stability", "edge")]
)
def test_the_code_gives_the_same_results(regression, title, name, request):
    explorer = wb.explore.stability(regression, **QUICK).show(title)
    namespace = {"problem": regression}
    exec(explorer._code.text, namespace)
    assert namespace[name].frame().equals(request.getfixturevalue(name).frame())


@pytest.fixture
def ticking(monkeypatch):
    """All that the estimates time takes one second."""
    for module in (training_cost, linear_stability_view):
        ticks = itertools.count()
        clock = SimpleNamespace(monotonic=lambda ticks=ticks: float(next(ticks)))
        monkeypatch.setattr(module, "time", clock)


@pytest.mark.parametrize(
    ("title", "seconds"),
    [
        ("Edge of stability", 2 * (40 + 26 * (2 + 40 // 20))),  # trainings of 40 steps, measured every 20
        ("Batch size and learning rate", 9 + 3 * 40),  # examples, and applications for each batch size
        ("Live training", 10 * (1 + (1 / 3 + 26) / 5)),  # a gradient a step; loss and sharpness every 5
    ],
)
def test_what_it_will_cost_is_estimated(ticking, regression, title, seconds):
    (view,) = [view for view in VIEWS if view.title == title]
    values = {p.name: p.default for p in read_notebook("stability").parameters}
    cost = view.estimate(regression, view.chosen(values | QUICK | {"train_steps": 10, "train_every": 5}))
    assert cost.seconds == pytest.approx(seconds)
    assert 0 < cost.bytes < 1e9


def test_where_not_all_gradients_fit_a_search_is_expected_in_place_of_exact_limits(monkeypatch, regression):
    monkeypatch.setattr("workbench.stability.minima.EXACT_ROWS", 3)
    monkeypatch.setattr(linear_stability_view, "product_seconds", lambda operator: 1000.0)
    cost = linear_stability_view.LINEAR_STABILITY.estimate(regression, {"batch_sizes": [1, 2]})
    assert cost.seconds > 1000 * PROBES


def test_unknown_values_are_refused(regression):
    with pytest.raises(ValueError, match="did you mean 'ratios'"):
        wb.explore.stability(regression, ratio=[3.0])
