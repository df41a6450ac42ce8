"""The explorer of stability shows what its functions found, in its tabs."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore.live_training_view import LIVE_TRAINING
from workbench.explore.still import Stills
from workbench.explore.tabs import Tabs
from workbench.stability.experiments import edge_of_stability

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


def test_unknown_values_are_refused(regression):
    with pytest.raises(ValueError, match="did you mean 'ratios'"):
        wb.explore.stability(regression, ratio=[3.0])
