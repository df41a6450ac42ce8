"""The explorer of particles shows what its functions found, in its tabs; its swarm moves without a kernel."""

import ipywidgets as widgets
import numpy as np
import pytest

import workbench as wb
from workbench.explore import remembered, success_view
from workbench.explore.consensus_steps_view import STEPS
from workbench.explore.still import Stills
from workbench.explore.success_view import SUCCESS
from workbench.explore.swarm_view import SWARM
from workbench.explore.tabs import Tabs
from workbench.particles import himmelblau
from workbench.particles.experiments import cross, step_regime, success_table

LAW = {"kind": "isotropic", "particles": 20, "runs": 2, "steps": 6, "descent_steps": 90}
QUICK = LAW | {
    "landscape": "himmelblau",
    "alphas": [0.1, 1.0],
    "step_particles": 200,
    "repeats": 2,
    "dims": [1, 2],
    "counts": [5, 10],
    "table_runs": 4,
    "table_steps": 20,
}


@pytest.fixture(scope="module")
def crossing():
    return cross(himmelblau(), **LAW)


@pytest.fixture(scope="module")
def comparison():
    return step_regime(himmelblau(), [2.6, 2.4], [0.1, 1.0], step_particles=200, repeats=2)


@pytest.fixture(scope="module")
def table():
    return success_table(dims=[1, 2], counts=[5, 10], table_runs=4, table_steps=20)


def run(explorer):
    explorer.job.run()
    explorer.job.wait(120)
    assert "Done" in explorer.job.status.value, explorer.job.status.value
    return explorer.figure


def test_alpha_sigma_and_lambda_have_sliders(classifier):
    tabs = wb.explore.particles(classifier, **QUICK)
    assert isinstance(tabs, Tabs)
    kinds = {name: type(control) for name, control in tabs.shown.controls.items()}
    assert [name for name, kind in kinds.items() if kind is widgets.FloatSlider][:3] == [
        "alpha",
        "sigma",
        "lam",
    ]
    assert kinds["particles"] is widgets.IntSlider


def test_run_draws_the_last_moment(classifier, crossing):
    remembered._results.clear()
    figure = run(wb.explore.particles(classifier, **QUICK).shown)
    _, consensus, particles, descent, minimisers, ess, cosine = figure.data
    np.testing.assert_allclose(particles.x, crossing.particles[-1, :, 0], atol=6e-4)
    np.testing.assert_allclose(consensus.y, crossing.swarm.consensus[:, 0, 1], atol=6e-4)
    np.testing.assert_allclose(ess.y, crossing.swarm.ess[:, 0], rtol=1e-6)
    np.testing.assert_allclose(cosine.y, crossing.swarm.cosine[:, 0], rtol=1e-5)
    assert len(minimisers.x) == 4
    assert f"{crossing.hits[0]} of 2 runs find it" in figure.layout.annotations[0].text
    affordable = int((crossing.descent.evaluations[:, 0] <= 7 * 20).sum())
    np.testing.assert_allclose(descent.x, crossing.descent.points[:affordable, 0, 0], atol=6e-4)


def test_each_step_of_the_slider_holds_its_moment(crossing):
    figure = SWARM.figure()
    SWARM.draw(figure, {"crossing": crossing})
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == [str(int(step)) for step in crossing.swarm.steps]
    assert slider.active == 6
    for place, step in enumerate(slider.steps):
        data, layout, traces = step.args
        assert list(traces) == [1, 2, 3]
        np.testing.assert_allclose(data["x"][1], crossing.particles[place, :, 0], atol=6e-4)
        assert len(data["x"][0]) == place + 1
        assert layout["shapes[0].x0"] == layout["shapes[1].x1"] == place
        assert f"effective sample size {float(crossing.swarm.ess[place, 0]):.3g}," in layout["title.text"]


def test_play_moves_the_figure_as_the_slider_does(classifier, crossing):
    explorer = wb.explore.particles(classifier, crossing, **QUICK).shown
    explorer.extras["play"].value = 25
    slider = explorer.figure.layout.sliders[0]
    assert slider.active == 3
    data, layout, _ = slider.steps[3].args
    assert list(explorer.figure.data[2].x) == list(data["x"][1])
    assert explorer.figure.layout.title.text == layout["title.text"]
    assert explorer.figure.layout.shapes[1].x0 == 3


def test_play_waits_for_something_to_play(classifier):
    explorer = wb.explore.particles(classifier, **QUICK).shown
    explorer.extras["play"].value = 10
    assert not explorer.figure.data[2].x


def test_the_loss_slice_is_of_the_problem(classifier):
    explorer = wb.explore.particles(classifier, **QUICK | {"landscape": "loss slice"}).shown
    run(explorer)
    assert "plane of eigenvector 1" in explorer.results["crossing"].swarm.objective


def test_run_draws_cosines_and_sample_sizes(classifier, comparison):
    figure = run(wb.explore.particles(classifier, **QUICK).show("Steps"))
    gradient, proximal, own, ess, _ = figure.data
    frame = comparison.frame()
    np.testing.assert_allclose(gradient.y, frame["cosine_gradient"])
    np.testing.assert_allclose(proximal.error_y.array, 2 * frame["cosine_proximal_stderr"])
    np.testing.assert_allclose(own.y, frame["proximal_cosine_gradient"])
    np.testing.assert_allclose(ess.y, frame["ess"])


def test_run_draws_successes_with_their_intervals(classifier, table):
    figure = run(wb.explore.particles(classifier, **QUICK).show("Success"))
    frame = table.frame().query("landscape == 'Ackley' and dim == 2")
    trace = figure.data[6]
    assert trace.name == "d = 2"
    assert list(trace.x) == ["5", "10"]
    np.testing.assert_allclose(trace.y, frame["rate"])
    np.testing.assert_allclose(np.array(trace.y) + trace.error_y.array, frame["high"])
    assert figure.layout.annotations[0].text == "Rastrigin (2.5)"


@pytest.mark.parametrize(
    ("title", "name"), [("Swarm", "crossing"), ("Steps", "comparison"), ("Success", "table")]
)
def test_the_code_gives_the_same_results(classifier, title, name, request):
    explorer = wb.explore.particles(classifier, **QUICK).show(title)
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace[name].frame().equals(request.getfixturevalue(name).frame())


def test_a_report_shows_all_views(classifier, crossing, comparison, table, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    stills = wb.explore.particles(classifier, crossing, comparison, table, **QUICK)
    assert isinstance(stills, Stills)
    assert len(stills.stills) == 3
    assert len(stills.stills[0].figure.layout.sliders[0].steps) == 7


def test_unknown_values_are_refused(classifier):
    with pytest.raises(ValueError, match="did you mean 'alpha'"):
        wb.explore.particles(classifier, alpa=3.0)


@pytest.mark.parametrize(
    ("view", "larger"),
    [(SWARM, {"particles": 40}), (STEPS, {"step_particles": 400}), (SUCCESS, {"table_runs": 8})],
    ids=lambda value: getattr(value, "title", ""),
)
@pytest.mark.parametrize("landscape", ["himmelblau", "loss slice"])
def test_each_says_what_it_will_take(view, larger, landscape, classifier):
    schema = wb.parameters.read_notebook("particles")
    costs = []
    for change in ({}, larger):
        values = view.chosen(schema.validate(QUICK | {"landscape": landscape} | change))
        costs.append(view.estimate(classifier, values))
    assert all(0 < cost.seconds < 60 for cost in costs)
    assert costs[1].bytes == 2 * costs[0].bytes


def test_a_success_table_is_expected_to_take_what_its_cells_do(classifier, monkeypatch):
    """Time stands for numbers that were moved: those of the largest cells, as if all cells were as quick."""
    moved = [0.0]

    def counted(dims, counts, table_runs, table_steps, **rest):
        moved[0] += 2 * sum(dims) * sum(counts) * table_runs * table_steps

    monkeypatch.setattr(success_view, "success_table", counted)
    monkeypatch.setattr(success_view.time, "monotonic", lambda: moved[0])
    values = {"dims": [1, 2], "counts": [5, 10], "table_runs": 4, "table_steps": 200}
    values |= {"steepness": 1.0, "noise": 1.0, "seed": 0}
    assert SUCCESS.estimate(classifier, values).seconds == pytest.approx(2 * 3 * 15 * 4 * 200)
