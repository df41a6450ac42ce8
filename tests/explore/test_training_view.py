"""The tab of the training shows the spectra at all checkpoints, and its slider holds all that it shows."""

import numpy as np
import plotly.graph_objects as go

import workbench as wb
from workbench.explore.training_view import TRAINING


def apply(figure, step):
    """Change a figure as plotly does in a page when its slider is moved to this step."""
    data, layout, traces = step.args
    figure.plotly_update(restyle_data=data, relayout_data=layout, trace_indexes=traces)


def test_run_shows_the_eigenvalues_of_all_checkpoints(classifier, run):
    explorer = run(classifier, "Training", k=2, operator="ggn")
    found = wb.curvature.along(classifier, k=2, matrix="ggn")
    lines = explorer.figure.data[0]
    largest = [pairs.values[0].item() for pairs in found.pairs]
    np.testing.assert_allclose(lines.y[:3], largest)
    assert lines.x == (0, 1, 2, None, 0, 1, 2, None)
    assert explorer.figure.layout.xaxis.ticktext == ("0", "5", "20")
    assert not explorer.figure.data[1].x


def test_each_step_of_the_slider_shows_its_checkpoint(classifier, run):
    explorer = run(classifier, "Training", k=2)
    trajectory = explorer.results["trajectory"]
    figure = go.Figure(explorer.figure)
    slider = figure.layout.sliders[0]
    assert [step.label for step in slider.steps] == ["0", "5", "20"]
    assert slider.active == 2
    shown = [figure.data[2].z]
    for number in (0, 1, 2):
        apply(figure, slider.steps[number])
        np.testing.assert_allclose(figure.data[2].z, trajectory.pairs[number].layer_shares().T)
        assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == number
        assert f"loss {trajectory.loss[number]:.3g}" in figure.layout.annotations[1].text
        assert figure.layout.sliders[0].active == number
        shown.append(figure.data[2].z)
    np.testing.assert_allclose(shown[0], shown[3])
    assert not np.allclose(shown[0], shown[1])


def test_a_problem_without_checkpoints_shows_what_it_is_now(regression, run):
    explorer = run(regression, "Training", k=3)
    assert [step.label for step in explorer.figure.layout.sliders[0].steps] == ["now"]
    assert len(explorer.figure.data[0].y) == 6


def test_what_did_not_converge_is_marked(classifier):
    trajectory = wb.curvature.along(classifier, k=2)
    pairs = trajectory.pairs[1].replace(converged=trajectory.pairs[1].converged.new_tensor([True, False]))
    figure = TRAINING.figure()
    TRAINING.draw(figure, {"trajectory": trajectory.replace(pairs=(trajectory.pairs[0], pairs, pairs))})
    assert figure.data[1].x == (1, 2)
    np.testing.assert_allclose(figure.data[1].y, pairs.values[1])


def test_the_code_gives_the_same_results(classifier, run):
    explorer = run(classifier, "Training", k=2)
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace["trajectory"].frame().equals(explorer.results["trajectory"].frame())
