"""The tab shows the spectrum that the analyses compute, live and in a report."""

import base64

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.explore.still import Still

PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def exact(classifier):
    return torch.linalg.eigvalsh(wb.curvature.hessian(classifier).dense().double()).flip(0).numpy()


def test_run_fills_the_figure_with_the_spectrum(classifier, exact):
    explorer = wb.explore.curvature(classifier, k=4, probes=2, steps=20).shown
    assert not explorer.figure.data[0].y
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    np.testing.assert_allclose(explorer.figure.data[0].y, exact[:4], rtol=1e-3, atol=1e-6)
    assert not explorer.figure.data[1].y
    assert len(explorer.figure.data[4].x) == len(explorer.results["density"].grid)


def test_the_controls_are_what_is_computed(classifier, exact):
    explorer = wb.explore.curvature(classifier, probes=2, steps=20).shown
    explorer.controls["k"].value = 2
    explorer.controls["which"].value = "SA"
    explorer.job.run()
    explorer.job.wait(60)
    np.testing.assert_allclose(explorer.figure.data[0].y, exact[::-1][:2], rtol=1e-3, atol=1e-6)
    assert "SA" in explorer.figure.layout.annotations[0].text


def test_where_nothing_is_there_is_a_gap_and_not_a_floor(classifier, run):
    explorer = run(classifier, "Spectrum", probes=2, steps=20)
    density = explorer.results["density"]
    shown = explorer.figure.data[4].y
    assert [value is None for value in shown] == (density.density <= density.floor).tolist()
    assert None in shown
    assert min(value for value in shown if value is not None) > density.floor


def test_what_stands_behind_the_plus_minus_is_said(classifier, run):
    explorer = run(classifier, "Spectrum", probes=2, steps=20)
    assert explorer.figure.layout.annotations[1].text.endswith("(standard error)")


def test_the_scale_changes_without_a_computation(classifier):
    explorer = wb.explore.curvature(classifier).shown
    assert explorer.figure.layout.yaxis2.type == "log"
    explorer.extras["scale"].value = "linear"
    assert explorer.figure.layout.yaxis2.type == "linear"
    assert explorer.results is None


def test_a_report_shows_the_same_figure_without_a_kernel(classifier, exact, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    still = wb.explore.curvature(classifier, k=3, probes=2, steps=20)
    assert isinstance(still, Still)
    bundle = still._repr_mimebundle_()
    np.testing.assert_allclose(still.figure.data[0].y, exact[:3], rtol=1e-3, atol=1e-6)
    assert len(bundle[PLOTLY]["data"]) == 5
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_the_code_gives_the_same_results(classifier, run):
    explorer = run(classifier, "Spectrum", k=4, probes=2, steps=20, operator="ggn", which="LM")
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert torch.equal(namespace["pairs"].values, explorer.results["eigenpairs"].values)
    assert np.array_equal(namespace["density"].density, explorer.results["density"].density)
