"""The training is drawn as it goes, can be cut short, and its code gives the same trace."""

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

import workbench as wb
from workbench.explore import live_training_view, remembered
from workbench.explore.live_training_view import LIVE_TRAINING
from workbench.stability.full_batch import make_optimizer, step_on_all_data
from workbench.trace import Trace

VALUES = {"train_rate": 0.1, "train_steps": 6, "optimizer": "sgd", "train_every": 2, "seed": 0}


@pytest.fixture
def explorer(classifier):
    remembered._results.clear()
    return wb.explore.stability(classifier, **VALUES).show("Live training")


@pytest.mark.parametrize(("optimizer", "threshold"), [("sgd", 20), ("momentum", 38), ("adam", 380)])
def test_run_draws_loss_and_sharpness_against_the_threshold(explorer, classifier, optimizer, threshold):
    before = classifier.parameters_vector()
    explorer.controls["optimizer"].value = optimizer
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    trace = explorer.results["trace"]
    loss, band, sharpness, line = explorer.figure.data
    assert loss.x == sharpness.x == line.x == (0, 2, 4)
    np.testing.assert_allclose(line.y, threshold)
    first = classifier.at(classifier.checkpoints["0"]).loss_at()
    assert loss.y[0] == pytest.approx(first)
    assert loss.y[-1] < first
    name = "preconditioned_sharpness" if optimizer == "adam" else "sharpness"
    np.testing.assert_allclose(sharpness.y, trace.of(name)["value"])
    assert len(band.x) == 6
    assert classifier.parameters_vector().equal(before)


def test_the_figure_follows_while_the_work_runs_and_cancel_keeps_it(explorer, monkeypatch):
    monkeypatch.setattr(live_training_view, "_REDRAW_SECONDS", 0.0)
    shown = []
    show = explorer.show

    def cancel_at_the_third(results):
        show(results)
        shown.append(len(explorer.figure.data[0].x))
        if len(shown) == 3:
            explorer.job.cancel_button.click()

    explorer.show = cancel_at_the_third
    explorer.controls["train_every"].value = "1"
    explorer.controls["train_steps"].value = "1000"
    explorer.job.run()
    explorer.job.wait(60)
    assert shown[:3] == [1, 2, 3]
    assert "Cancelled" in explorer.job.status.value
    assert explorer.figure.data[0].x == explorer.figure.data[2].x
    assert len(explorer.results["trace"].of("loss")) == len(explorer.figure.data[0].x) < 9
    assert not remembered._results


def test_its_controls_are_those_of_the_notebook(explorer):
    assert list(explorer.controls) == list(VALUES)


def test_a_report_draws_the_end_of_the_same_training(classifier):
    results = LIVE_TRAINING.results(classifier, VALUES)
    figure = LIVE_TRAINING.figure()
    LIVE_TRAINING.draw(figure, results)
    assert isinstance(figure, go.Figure)
    assert figure.data[0].x == (0, 2, 4)


def test_a_training_without_a_finite_gradient_ends(classifier):
    broken = {name: tensor * torch.nan for name, tensor in classifier.model.state_dict().items()}
    copy = classifier.at(classifier.checkpoints["0"])
    copy.model.load_state_dict(broken)
    assert not step_on_all_data(copy, make_optimizer(copy, "sgd", 0.1))
    trace = Trace.from_rows([], {"loss": 1}, {"loss": 1.0})
    LIVE_TRAINING.draw(LIVE_TRAINING.figure(), {"trace": trace})


def test_the_code_gives_the_same_trace(explorer, classifier):
    explorer.job.run()
    explorer.job.wait(60)
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    for name in ("loss", "sharpness", "stability_threshold"):
        assert namespace["trace"].of(name).equals(explorer.results["trace"].of(name))
