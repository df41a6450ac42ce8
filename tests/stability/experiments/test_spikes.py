"""Learning-rate spikes: what each method does to them, small enough to run here."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import workbench as wb
from workbench.progress import listening
from workbench.stability.experiments.networks import build_network, digits
from workbench.stability.experiments.spike_runs import SpikeRuns
from workbench.stability.experiments.spikes import (
    METHODS,
    _held_out_accuracy,
    _train_mode_accuracy,
    learning_rate_spikes,
)

SMALL: dict[str, Any] = {"steps": 40, "start": 20, "seeds": 1}


@pytest.fixture(scope="module")
def spiked() -> SpikeRuns:
    return learning_rate_spikes(
        factors=(1000,), methods=("plain", "controlled"), rate=1e-2, steps=60, seeds=2
    )


def test_plain_adam_ends_at_chance_and_the_controller_does_not(spiked: SpikeRuns) -> None:
    means = spiked.means().set_index("method")
    assert means.loc["plain", "accuracy"] < 0.3
    assert means.loc["controlled", "worst"] > 0.85
    assert means.loc["plain", "largest_ratio"] > 100
    # measured anew along what was done, by another product than the controller's
    assert means.loc["controlled", "largest_ratio"] <= 1 + 1e-4


def test_before_the_spike_methods_that_do_not_act_are_the_same() -> None:
    """Adam with a tiny rate is plain, controlled or not: the same seeds, batches and weights."""
    runs = learning_rate_spikes(factors=(1,), methods=("plain", "controlled"), rate=1e-4, **SMALL).frame()
    plain, controlled = (runs[runs["method"] == method].iloc[0] for method in ("plain", "controlled"))
    assert plain["accuracy"] == controlled["accuracy"]
    assert plain["ratio_before"] == controlled["ratio_before"] < 1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_without_a_spike(method: str) -> None:
    rate = 0.3 if method == "polyak" else 1e-2  # of gradient descent, not of Adam
    (run,) = learning_rate_spikes(factors=(1,), methods=(method,), rate=rate, **SMALL).frame().itertuples()
    assert run.finite
    assert run.accuracy > 0.6


def test_one_step_at_all_examples_of_a_network_with_batch_statistics() -> None:
    runs = learning_rate_spikes(
        ("cnn-batchnorm",), (100,), ("controlled",), hold=1, batch_size=None, steps=3, start=1, seeds=1
    )
    assert (runs.hold, runs.batch_size) == (1, None)
    assert 0 < runs.largest_ratio[0] <= 1 + 1e-4


def test_train_mode_has_the_statistics_of_the_held_out_batch() -> None:
    """A network whose norms keep no running statistics has those of the batch in eval mode, too."""
    data, model = digits(0), build_network("cnn-batchnorm", 0)
    twin = copy.deepcopy(model).eval()
    for norm in (twin.norm1, twin.norm2):
        norm.running_mean = norm.running_var = None
    inputs, targets = data.test
    with torch.no_grad():
        expected = float((twin(inputs).argmax(1) == targets).float().mean())
    assert _train_mode_accuracy(model, data) == pytest.approx(expected)
    assert expected != _held_out_accuracy(build_network("cnn-batchnorm", 0), data)


def test_without_batch_statistics_the_modes_agree(spiked: SpikeRuns) -> None:
    assert np.array_equal(spiked.accuracy, spiked.train_mode_accuracy)
    assert "train mode" not in spiked.summary()


def test_what_comes_after_a_spike_is_trained_and_not_measured() -> None:
    """The spike of one step is the whole of what ratios tell of; the training goes on and recovers."""
    short, long = (
        learning_rate_spikes(
            factors=(30,), methods=("plain",), rate=1e-2, hold=1, start=20, seeds=1, steps=steps
        )
        for steps in (21, 80)
    )
    assert short.largest_ratio[0] == long.largest_ratio[0] > 1
    assert short.ratio_before[0] == long.ratio_before[0]
    assert long.accuracy[0] > short.accuracy[0] + 0.1


def test_runs_are_repeatable(spiked: SpikeRuns) -> None:
    again = learning_rate_spikes(
        factors=(1000,), methods=("plain", "controlled"), rate=1e-2, steps=60, seeds=2
    )
    assert again.frame().equals(spiked.frame())


def test_the_interval_is_students(spiked: SpikeRuns) -> None:
    values = spiked.accuracy[np.array(spiked.method) == "controlled"]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    row = spiked.means().set_index("method").loc["controlled"]
    assert row["accuracy"] - row["interval"] == pytest.approx(expected.low)
    assert row["accuracy"] + row["interval"] == pytest.approx(expected.high)


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = learning_rate_spikes(factors=(10,), methods=("plain", "clipped"), **SMALL)
    assert found.interrupted
    assert len(found.seed) == 1
    assert "INTERRUPTED" in found.summary()
    found.plot()


def test_the_runs_are_a_result(spiked: SpikeRuns, tmp_path: Path) -> None:
    again = wb.load_result(spiked.save(tmp_path / "spikes.npz"))
    assert isinstance(again, SpikeRuns)
    pd.testing.assert_frame_equal(again.frame(), spiked.frame())
    assert again.summary() == spiked.summary()
    assert "95% interval of the mean over seeds (Student's t)" in spiked.summary()
    labels = [text.get_text() for text in spiked.plot().get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["plain", "controlled"]
    assert "mlp:" in spiked.plot(network="mlp", quantity="train_mode_accuracy").get_title()
    with pytest.raises(ValueError, match="did you mean 'mlp'"):
        spiked.plot(network="mpl")
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        spiked.plot(quantity="acuracy")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"networks": ("mpl",)}, "did you mean 'mlp'"),
        ({"networks": "mlp"}, "pass a list of at least one"),
        ({"methods": ("controled",)}, "did you mean 'controlled'"),
        ({"factors": (0,)}, "factor=0 is out of range"),
        ({"factors": ()}, "pass a list of at least one"),
        ({"rate": 0.0}, r"rate=0\.0 is out of range"),
        ({"start": 300}, "start=300 is out of range"),
        ({"kind": "exat"}, "did you mean 'exact'"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learning_rate_spikes(**keywords)
