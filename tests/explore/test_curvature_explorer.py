"""The explorer shows the spectrum that the analyses compute, live and in a report."""

import base64

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.explore.shell import Explorer
from workbench.explore.still import Still

PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(30, 4), torch.randint(0, 3, (30,))))


@pytest.fixture(scope="module")
def exact(problem):
    return torch.linalg.eigvalsh(wb.curvature.hessian(problem).dense().double()).flip(0).numpy()


def test_run_fills_the_figure_with_the_spectrum(problem, exact):
    explorer = wb.explore.curvature(problem, k=4, probes=2, steps=20)
    assert isinstance(explorer, Explorer)
    assert not explorer.figure.data[0].y
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    np.testing.assert_allclose(explorer.figure.data[0].y, exact[:4], rtol=1e-3, atol=1e-6)
    assert not explorer.figure.data[1].y
    assert len(explorer.figure.data[4].x) == len(explorer.results["density"].grid)


def test_the_controls_are_what_is_computed(problem, exact):
    explorer = wb.explore.curvature(problem, probes=2, steps=20)
    explorer.controls["k"].value = 2
    explorer.controls["which"].value = "SA"
    explorer.job.run()
    explorer.job.wait(60)
    np.testing.assert_allclose(explorer.figure.data[0].y, exact[::-1][:2], rtol=1e-3, atol=1e-6)
    assert "SA" in explorer.figure.layout.annotations[0].text


def test_the_scale_changes_without_a_computation(problem):
    explorer = wb.explore.curvature(problem)
    assert explorer.figure.layout.yaxis2.type == "log"
    explorer.extras["scale"].value = "linear"
    assert explorer.figure.layout.yaxis2.type == "linear"
    assert explorer.results is None


def test_a_report_shows_the_same_figure_without_a_kernel(problem, exact, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    still = wb.explore.curvature(problem, k=3, probes=2, steps=20)
    assert isinstance(still, Still)
    bundle = still._repr_mimebundle_()
    np.testing.assert_allclose(still.figure.data[0].y, exact[:3], rtol=1e-3, atol=1e-6)
    assert len(bundle[PLOTLY]["data"]) == 5
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_known_results_are_shown_at_once(problem):
    operator = wb.curvature.ggn(problem)
    pairs = wb.curvature.eigenpairs(operator, 3)
    density = wb.curvature.spectral_density(operator, probes=2, steps=20)
    explorer = wb.explore.curvature(problem, pairs, density, operator="ggn")
    np.testing.assert_allclose(explorer.figure.data[0].y, pairs.values)
    assert explorer.controls["operator"].value == "ggn"


def test_unknown_values_are_refused(problem):
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        wb.explore.curvature(problem, step=3)


def test_the_code_gives_the_same_results(problem):
    explorer = wb.explore.curvature(problem, k=4, probes=2, steps=20, operator="ggn", which="LM")
    explorer.job.run()
    explorer.job.wait(60)
    namespace = {"problem": problem}
    exec(explorer._code.text, namespace)
    assert torch.equal(namespace["pairs"].values, explorer.results["eigenpairs"].values)
    assert np.array_equal(namespace["density"].density, explorer.results["density"].density)
