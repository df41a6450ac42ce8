"""The tabs of planted directions show what was computed; their sliders hold all that they change."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore import remembered
from workbench.explore.chains_view import CHAINS, chain_steps
from workbench.explore.phases_view import PHASES
from workbench.explore.still import Stills
from workbench.particles import langevin, phase_diagram, single_index, tensor_pca
from workbench.particles.planted.chain_run import CURVES

QUICK = {"dim": 5, "exponents": [1.0, 2.0], "runs": 3, "length": 0.2, "beta": 0.5, "dims": [4, 5]}


@pytest.mark.parametrize(("model", "make"), [("tensor", tensor_pca), ("single index", single_index)])
def test_run_draws_the_chains(model, make):
    remembered._results.clear()
    explorer = wb.explore.langevin(**QUICK, model=model).show("Chains")
    assert list(explorer.controls) == list(CHAINS.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = langevin(make(5, [5, 25], runs=3), beta=0.5, length=0.2)
    *curves, theory = explorer.figure.data
    for name, trace in zip(CURVES, curves, strict=True):
        mean, error = found.curve(name, 1)
        np.testing.assert_allclose(trace.y, mean, rtol=1e-6)
        np.testing.assert_allclose(trace.error_y.array, 2 * error, rtol=1e-6)
    np.testing.assert_allclose(theory.y, found.predicted_likeness()[:, 1])


def test_the_slider_goes_through_the_sizes():
    found = langevin(tensor_pca(4, [4, 16], 2, runs=3), beta=0.5, length=0.2)
    figure = CHAINS.figure()
    CHAINS.draw(figure, {"chains": found})
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["4", "16"]
    data, layout, _ = slider.steps[0].args
    np.testing.assert_allclose(data["y"][1], found.curve("average", 0)[0])
    assert data["y"][3] == []  # there is no first-order line of an even order
    assert layout["title.text"].startswith("n = d^1.00")


def test_phases_show_every_method():
    found = phase_diagram("tensor", 3, (4, 5), (0.5, 1.5, 2.5), runs=3, length=0.2)
    figure = PHASES.figure()
    PHASES.draw(figure, {"phases": found})
    (slider,) = figure.layout.sliders
    assert tuple(step.label for step in slider.steps) == found.methods
    table = found.frame()
    rows = table[(table["method"] == "online SGD") & (table["dim"] == 5)]
    np.testing.assert_allclose(slider.steps[0].args[0]["y"][1], rows["found"])
    assert list(figure.data[-1].y) == list(found.methods)
    assert [trace.showlegend for trace in figure.data[:3]] == [True, True, False]


@pytest.mark.parametrize(("view", "name"), [(CHAINS, "chains"), (PHASES, "phases")])
def test_the_code_gives_the_same_result(view, name):
    schema = wb.parameters.read_notebook("langevin")
    values = view.chosen(schema.validate(QUICK))
    scope = {}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(None, values)[name].summary()


def test_the_start_page_hands_over_a_problem_that_is_left_alone(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    chains = langevin(tensor_pca(4, [4, 16], runs=3), beta=0.5, length=0.2)
    phases = phase_diagram("tensor", 1, (4, 5), (0.5, 1.5), runs=3, length=0.2)
    shown = wb.explore.langevin(classifier, chains, phases)
    assert isinstance(shown, Stills)


def test_saving_needs_no_problem(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    chains = langevin(tensor_pca(4, [4, 16], runs=3), beta=0.5, length=0.2)
    explorer = wb.explore.langevin(chains=chains).show("Chains")
    explorer.save()
    assert [path.stem for path in tmp_path.iterdir()] == ["chains"]


def test_chains_and_phases_are_expected_to_take_what_their_steps_do():
    schema = wb.parameters.read_notebook("langevin")

    def cost(view, **change):
        return view.estimate(None, view.chosen(schema.validate(QUICK | change)))

    chains = cost(CHAINS)
    assert cost(CHAINS, length=0.4).seconds == pytest.approx(2 * chains.seconds)
    assert cost(CHAINS, runs=6).bytes == 2 * chains.bytes
    both, one, other = (cost(PHASES, dims=dims).seconds for dims in ([4, 5], [4], [5]))
    assert both == pytest.approx(one + other)
    assert one > cost(CHAINS, dim=4).seconds  # chains, ascents and online SGD
    index, more = (cost(PHASES, model="single index", minibatches=on).seconds for on in (False, True))
    chains = [cost(CHAINS, model="single index", dim=dim).seconds for dim in (4, 5)]
    assert more == pytest.approx(index + sum(chains))


def test_an_estimate_has_the_steps_of_the_chain():
    values = wb.parameters.read_notebook("langevin").validate(QUICK)
    found = langevin(tensor_pca(5, [5, 25], runs=3), beta=0.5, length=0.2)
    assert 0 <= found.steps - found.burn_in - chain_steps(values) < 64
