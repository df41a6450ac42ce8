"""The tab of a ray shows the ray that was computed; its slider tells what is lost at each distance."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore import remembered
from workbench.explore.ray_view import RAY
from workbench.explore.still import Still
from workbench.stability import ray


@pytest.fixture
def run_ray(classifier):
    remembered._results.clear()

    def open_and_run(**values):
        explorer = wb.explore.taylor_radius(classifier, **values).show("Ray")
        explorer.job.run()
        explorer.job.wait(60)
        assert "Done" in explorer.job.status.value, explorer.job.status.value
        return explorer

    return open_and_run


@pytest.mark.parametrize("direction", ["gradient", "random", "eigenvector"])
def test_run_draws_loss_polynomials_and_radii(classifier, run_ray, direction):
    explorer = run_ray(direction=direction, order=3, seed=1)
    assert list(explorer.controls) == ["direction", "order", "seed"]
    given = direction
    if direction == "eigenvector":
        given = wb.curvature.eigenpairs(wb.curvature.hessian(classifier), 1, seed=1)
    found = ray(classifier, given, order=3, seed=1)
    *polynomials, loss, linear, exact, majority, spread = explorer.figure.data
    np.testing.assert_allclose(loss.y, found.loss, rtol=1e-6)
    np.testing.assert_allclose(linear.y, found.linearised, rtol=1e-6)
    for trace, values in zip(polynomials[:3], found.polynomials[1:], strict=True):
        np.testing.assert_allclose(trace.y, values, rtol=1e-6)
        assert trace.x == loss.x
    assert not any(trace.x or trace.showlegend for trace in polynomials[3:])
    for trace, kind in ((exact, "exact"), (majority, "majority"), (spread, "spread")):
        assert trace.x[0] == -trace.x[-1] == pytest.approx(found.radii[kind])
        assert trace.name.startswith(f"{kind} radius")
    assert found.direction in explorer.figure.layout.xaxis.title.text


def test_another_order_needs_no_new_ray(run_ray, monkeypatch):
    first = run_ray(order=2).results["ray"]
    monkeypatch.setattr("workbench.explore.ray_view.ray", None)
    second = run_ray(order=8).results["ray"]
    assert (first.order, second.order) == (2, 8)
    np.testing.assert_array_equal(first.coefficients, second.coefficients[:3])


def test_the_slider_tells_of_each_distance_without_a_kernel(classifier):
    found = ray(classifier, "gradient", points=5, order=2)
    figure = RAY.figure()
    RAY.draw(figure, {"ray": found})
    (slider,) = figure.layout.sliders
    assert len(slider.steps) == 5
    assert slider.active == 2
    for place, step in enumerate(slider.steps):
        (change,) = step.args
        assert step.method == "relayout"
        assert change["shapes[0].x0"] == change["shapes[0].x1"] == found.distance[place]
        assert change["sliders[0].active"] == place
        assert f"loss {found.loss[place]:.4g}," in change["title.text"]
        assert change["title.text"].startswith(f"{abs(place - 2):.2f} exact radii")
    assert figure.layout.title.text == slider.steps[2].args[0]["title.text"]


def test_radii_beyond_the_ray_and_losses_that_are_not_finite_are_left_out(classifier):
    found = ray(classifier, "gradient", 1e-3, points=3)
    found.loss[0] = np.inf
    figure = RAY.figure()
    RAY.draw(figure, {"ray": found})
    assert figure.data[8].y[0] is None
    assert not any(trace.x for trace in figure.data[10:])
    RAY.draw(figure, {"ray": found.replace(certified=False)})
    assert figure.data[10].name.startswith("NOT certified")


def test_a_report_shows_the_ray(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    found = ray(classifier, "gradient", points=3)
    still = wb.explore.taylor_radius(classifier, found)
    assert isinstance(still, Still)
    assert len(still.figure.layout.sliders[0].steps) == 3
    assert wb.explore.taylor_radius(classifier, order=1).results["ray"].order == 1


@pytest.mark.parametrize("direction", ["gradient", "eigenvector"])
def test_the_code_gives_the_same_ray(classifier, run_ray, direction):
    explorer = run_ray(direction=direction, order=2)
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace["ray"].frame().equals(explorer.results["ray"].frame())


def test_a_loss_without_logits_is_refused_in_one_line(regression):
    explorer = wb.explore.taylor_radius(regression).shown
    explorer.job.run()
    explorer.job.wait(60)
    assert "MSELoss is no cross entropy" in explorer.job.status.value
