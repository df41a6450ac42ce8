"""Temperatures: what must scale with them exactly, and spreads of onsets written out."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.progress import listening
from workbench.stability.experiments import TemperatureOnsets, temperature_onsets
from workbench.stability.experiments.digits_training import problem_of
from workbench.stability.experiments.networks import digits
from workbench.stability.experiments.temperature import _train

SMALL: dict[str, Any] = {
    "temperatures": (0.5, 1, 8),
    "seeds": (0, 1),
    "points": 21,
    "examples": 200,
    "steps": 60,
}


@pytest.fixture(scope="module")
def found() -> TemperatureOnsets:
    return temperature_onsets(**SMALL)


def test_an_onset_against_brute_force(found: TemperatureOnsets) -> None:
    """At the distance where the loss is said to have doubled, it has, but for the interpolation."""
    data = digits(0)
    problem = problem_of(_train(data, 0, 60, 1.0), data, 200, 8.0)
    gradient = problem.gradient()
    run = 2
    assert (found.protocol[run], found.temperature[run], found.seed[run]) == ("one model", 8, 0)
    theta = problem.parameters_vector() - found.loss_onset[run] * gradient / gradient.norm()
    assert problem.loss_at(theta) / problem.loss_at() == pytest.approx(2, rel=0.1)


def test_the_loss_at_a_temperature_is_that_of_the_logits_over_it() -> None:
    data = digits(1)
    model = _train(data, 1, 5, 2.0)
    problem = problem_of(model, data, 50, 4.0)
    logits = model(data.train[0][:50]).detach().double().numpy() / 4
    targets = data.train[1][:50].numpy()
    shifted = logits - logits.max(1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    assert problem.loss_at() == pytest.approx(-np.log(probabilities[np.arange(50), targets]).mean(), rel=1e-5)


def test_both_protocols_are_the_same_at_temperature_one(found: TemperatureOnsets) -> None:
    rows = found.frame()[found.temperature == 1].drop(columns="protocol")
    one, retrained = rows.iloc[:2].reset_index(drop=True), rows.iloc[2:].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, retrained)


def test_no_loss_doubles_well_within_the_radius(found: TemperatureOnsets) -> None:
    for scale in ("spread", "majority", "exact"):
        assert found.in_units("loss", scale).min() > 0.9


def test_spreads_of_onsets_written_out() -> None:
    """Onsets at 1, 10, 100 and ten times that, against radii that grow half as fast."""
    onsets = np.array([1.0, 10, 100, 10, 100, 1000])
    radii = np.tile([1.0, 10**0.5, 10], 2)
    result = TemperatureOnsets(
        protocol=("one model",) * 6,
        temperature=np.array([1.0, 2, 4] * 2),
        seed=np.repeat([0, 1], 3),
        spread=radii,
        majority=radii * 2,
        exact=np.ones(6),
        loss_onset=onsets,
        accuracy_onset=np.array([np.inf, 1, 10, 1, 10, np.inf]),
        start_accuracy=np.ones(6),
        longest=100.0,
        steps=1,
    )
    assert result.spread_of("one model", "loss", "raw") == pytest.approx(1)
    assert result.spread_of("one model", "loss", "exact") == pytest.approx(1)
    assert result.spread_of("one model", "accuracy", "raw") == pytest.approx(np.std([0, 1], ddof=1))
    table = result.spreads().set_index(["onset", "scale"])
    assert table.loc[("loss", "spread"), "smallest"] == 1
    assert table.loc[("loss", "majority"), "smallest"] == 0.5
    assert table.loc[("accuracy", "raw"), "reached"] == 4
    assert table.loc[("loss", "spread"), "std"] == pytest.approx(0.5)


def test_runs_are_repeatable(found: TemperatureOnsets) -> None:
    again = temperature_onsets(**(SMALL | {"seeds": (1,), "protocols": ("retrained",)}))
    expected = found.frame()[(found.seed == 1) & (np.array(found.protocol) == "retrained")]
    pd.testing.assert_frame_equal(again.frame(), expected.reset_index(drop=True))


def test_an_interrupt_keeps_what_is_done() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description.startswith("temperatures") and done == 2:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = temperature_onsets(**SMALL)
    assert found.interrupted
    assert len(found.seed) == 2
    assert "INTERRUPTED" in found.summary()


def test_the_onsets_are_a_result(found: TemperatureOnsets, tmp_path: Path) -> None:
    again = wb.load_result(found.save(tmp_path / "onsets.npz"))
    assert isinstance(again, TemperatureOnsets)
    pd.testing.assert_frame_equal(again.frame(), found.frame())
    for protocol in ("one model", "retrained"):
        found.plot(protocol=protocol, of="accuracy")
    assert "95% interval over seeds" in found.summary()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"temperatures": (1,)}, "number of temperatures=1 is out of range"),
        ({"temperatures": (1, 0)}, "temperature=0 is out of range"),
        ({"protocols": ("one modle",)}, "did you mean 'one model'"),
        ({"protocols": "retrained"}, "pass a list of at least one"),
        ({"steps": 0}, "steps=0 is out of range"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        temperature_onsets(**keywords)
