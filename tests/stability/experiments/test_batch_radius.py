"""Radii of minibatches over those of all data, by the same analysis on two problems."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import workbench as wb
from workbench.progress import listening
from workbench.random_vectors import generator
from workbench.stability import taylor_radius
from workbench.stability.experiments import BatchRadiusGap, batch_radius_gap
from workbench.stability.experiments.networks import build_network, digits

SMALL: dict[str, Any] = {"sizes": (8, 200), "steps": (20, 30), "seeds": (0, 1), "batches": 2}


@pytest.fixture(scope="module")
def found() -> BatchRadiusGap:
    return batch_radius_gap(**SMALL)


def test_a_gap_is_that_of_two_problems_along_one_gradient() -> None:
    """Before any training."""
    found = batch_radius_gap(sizes=(8,), steps=(0,), seeds=(1,), batches=1)
    data, model = digits(1), build_network("mlp", 1).eval()
    inputs, targets = data.train
    chosen = torch.randperm(len(targets), generator=generator(1))[:8]
    batch, whole = (
        wb.Problem(model, nn.CrossEntropyLoss(), pair)
        for pair in ((inputs[chosen], targets[chosen]), (inputs, targets))
    )
    gradient = batch.gradient()
    for place, kind in enumerate(found.kind):
        expected = taylor_radius(batch, gradient, kind).radius / taylor_radius(whole, gradient, kind).radius
        assert found.ratio[0, 0, 0, 0, place] == pytest.approx(expected, rel=1e-6)


def test_no_minibatch_reaches_less_far_than_all_data(found: BatchRadiusGap) -> None:
    assert (found.ratio >= 1 - 1e-6).all()
    assert found.ratio.max() > 1.01


def test_the_whole_data_as_a_batch_has_no_gap() -> None:
    whole = batch_radius_gap(sizes=(1437,), steps=(20,), seeds=(0,), batches=1)
    np.testing.assert_allclose(whole.ratio, 1, rtol=1e-5)


def test_intervals_are_students_of_the_means_of_logarithms(found: BatchRadiusGap) -> None:
    values = np.log(found.ratio[1, :, 0, :, 2]).mean(1)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    row = found.by_size().query("steps == 30 and kind == 'exact' and size == 8").iloc[0]
    assert np.log([row["gap_low"], row["gap_high"]]) == pytest.approx([expected.low, expected.high])


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description.startswith("batch radii") and done == 5:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = batch_radius_gap(**(SMALL | {"seeds": (0, 1, 2)}))
    assert found.interrupted
    assert "INTERRUPTED" in found.summary()
    again = wb.load_result(found.save(tmp_path / "gap.npz"))
    assert again.frame().equals(found.frame())
    found.plot()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"network": "mpl"}, "did you mean 'mlp'"),
        ({"sizes": (1438,)}, "size=1438 is out of range"),
        ({"sizes": ()}, "number of sizes=0 is out of range"),
        ({"steps": (5, 2)}, r"steps=\[5, 2\]: pass at least one, ascending"),
        ({"batches": 0}, "batches=0 is out of range"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batch_radius_gap(**keywords)
