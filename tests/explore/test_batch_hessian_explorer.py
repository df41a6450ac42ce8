"""The explorer shows what batches' spectra are, in two tabs, and its slider moves without a kernel."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore.still import Stills
from workbench.explore.tabs import Tabs

QUICK = {"sizes": [1, 10, 99], "k": 2, "batches": 3, "probes": 2, "steps": 10}


@pytest.fixture(scope="module")
def spectra(classifier):
    return wb.curvature.batch_spectra(classifier, [1, 10, 30], 2, batches=3, probes=2)


@pytest.fixture(scope="module")
def densities(classifier):
    return wb.curvature.batch_densities(classifier, [1, 10, 30], probes=2, steps=10)


def run(explorer):
    explorer.job.run()
    explorer.job.wait(120)
    assert "Done" in explorer.job.status.value
    return explorer.figure


def points(trace):
    return sorted(value for value in trace.y if value is not None)


def test_run_fills_the_figure_with_the_eigenvalues(classifier, spectra):
    tabs = wb.explore.batch_hessian(classifier, **QUICK)
    assert isinstance(tabs, Tabs)
    assert set(tabs.shown.controls) == {"matrix", "sizes", "k", "batches", "probes", "seed"}
    figure = run(tabs.shown)
    everything, isotropic, along, above, drowned = figure.data
    assert points(everything) == pytest.approx(sorted(np.tile(spectra.full, 3)))
    assert points(isotropic) == pytest.approx(sorted(spectra.isotropic.ravel()))
    assert points(along) == pytest.approx(sorted(spectra.along.ravel()))
    assert sorted([*above.y, *drowned.y]) == pytest.approx(sorted(spectra.measured.ravel()))
    assert len(drowned.y) == spectra.drowned.sum() > 0
    assert [tuple(row) for row in above.customdata if row[0] == 30] == [(30, 1), (30, 2)]
    assert figure.layout.xaxis.tickvals == (1, 10, 30)  # 99 is more than there are


def test_the_slider_puts_each_batch_into_the_figure(classifier, densities):
    tabs = wb.explore.batch_hessian(classifier, **QUICK)
    explorer = tabs.show("Batch density")
    figure = run(explorer)
    explorer.show(explorer.results)  # a second time into the same figure
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["1", "10", "30"]
    for size, step in zip(densities.sizes, slider.steps, strict=True):
        data, layout, traces = step.args
        batch, law = data["y"][:2]
        seen = densities.density(int(size))[0]
        visible = seen > densities.floor
        assert np.array(batch)[visible] == pytest.approx(seen[visible], rel=1e-4)
        assert len(law) == len(data["x"][1]) == len(densities.grid)
        assert f"one batch of {size}:" in layout["annotations[0].text"]
        assert list(traces) == [1, 2, 3]
    assert list(figure.data[1].y) == list(slider.steps[0].args[0]["y"][0])


def test_a_report_shows_both_views_without_a_kernel(classifier, spectra, densities, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    stills = wb.explore.batch_hessian(classifier, spectra, densities, **QUICK)
    assert isinstance(stills, Stills)
    first, second = (still._repr_mimebundle_() for still in stills.stills)
    assert len(first["application/vnd.plotly.v1+json"]["data"]) == 5
    assert len(second["application/vnd.plotly.v1+json"]["layout"]["sliders"][0]["steps"]) == 3
    assert "batch of 1: eigenvalues from" in second["text/plain"]


def test_known_results_stand_in_their_tabs(classifier, spectra, densities):
    tabs = wb.explore.batch_hessian(classifier, spectra, densities, **QUICK)
    assert tabs.shown.results == {"spectra": spectra}
    assert tabs.show("Batch density").results == {"densities": densities}


@pytest.mark.parametrize(
    ("title", "name"), [("Batch eigenvalues", "spectra"), ("Batch density", "densities")]
)
def test_the_code_gives_the_same_results(classifier, title, name, request):
    explorer = wb.explore.batch_hessian(classifier, **QUICK).show(title)
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace[name].frame().equals(request.getfixturevalue(name).frame())


@pytest.mark.parametrize("title", ["Batch eigenvalues", "Batch density"])
def test_more_batches_or_steps_are_expected_to_take_longer(classifier, title, monkeypatch):
    from workbench.explore import batch_cost

    clock = iter(range(10_000))
    monkeypatch.setattr(batch_cost.time, "monotonic", lambda: next(clock))
    explorer = wb.explore.batch_hessian(classifier, **QUICK).show(title)
    values = explorer._values()
    few = explorer._view.estimate(classifier, values)
    many = explorer._view.estimate(classifier, values | {"batches": 6, "steps": 20, "matrix": "ggn"})
    assert many.seconds > few.seconds > 0
    assert few.bytes > 0


def test_unknown_values_are_refused(classifier):
    with pytest.raises(ValueError, match="did you mean 'batches'"):
        wb.explore.batch_hessian(classifier, batchs=3)
