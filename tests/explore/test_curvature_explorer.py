"""One tab for each view, what is known shown first, and stills of it in a report."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore.curvature_explorer import VIEWS
from workbench.explore.still import Stills
from workbench.explore.tabs import Tabs
from workbench.parameters import read_notebook

TITLES = ["Spectrum", "Layers", "Classes", "Loss slice", "Training"]


@pytest.fixture(scope="module")
def known(classifier):
    """What the notebook passes, by the names of the arguments."""
    curvature = wb.curvature
    operator = curvature.ggn(classifier)
    pairs = curvature.eigenpairs(operator, 3)
    return {
        "pairs": pairs,
        "density": curvature.spectral_density(operator, probes=2, steps=20),
        "layers": curvature.layer_curvature(operator, pairs=pairs),
        "classes": curvature.class_outliers(classifier),
        "plane": curvature.slice_loss(classifier, pairs, points=11),
        "trajectory": curvature.along(classifier, k=3),
    }


def test_known_results_are_shown_at_once_in_their_tabs(classifier, known):
    tabs = wb.explore.curvature(classifier, **known, operator="ggn")
    assert isinstance(tabs, Tabs)
    assert list(tabs.choice.options) == TITLES
    np.testing.assert_allclose(tabs.shown.figure.data[0].y, known["pairs"].values)
    assert tabs.shown.controls["operator"].value == "ggn"
    for title in TITLES:
        (shown, *_) = tabs.show(title).results.values()
        assert any(shown is result for result in known.values())


def test_without_results_every_tab_waits_for_run(classifier):
    tabs = wb.explore.curvature(classifier)
    assert all(tabs.show(title).results is None for title in TITLES)


def test_a_report_has_a_still_of_what_is_known(classifier, known, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    stills = wb.explore.curvature(classifier, **known)
    assert isinstance(stills, Stills)
    assert [len(still.results) for still in stills.stills] == [2, 1, 1, 1, 1]
    for still in stills.stills:
        assert still._repr_mimebundle_()["image/png"]
    some = wb.explore.curvature(classifier, **(known | {"classes": None}))
    assert len(some.stills) == 4


def test_unknown_values_are_refused(classifier):
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        wb.explore.curvature(classifier, step=3)


def test_every_parameter_has_a_control_and_every_control_is_a_parameter():
    parameters = {parameter.name for parameter in read_notebook("curvature").parameters}
    controls = {name for view in VIEWS for name in view.controls}
    assert controls == parameters - {"problem"}
    assert all(view.estimate is not None for view in VIEWS)


@pytest.mark.parametrize("view", VIEWS, ids=TITLES)
def test_what_it_will_cost_is_estimated(view, classifier):
    values = {p.name: p.default for p in read_notebook("curvature").parameters}
    cost = view.estimate(classifier, view.chosen(values))
    assert 0 < cost.seconds < 120
    assert 0 < cost.bytes < 1e9
