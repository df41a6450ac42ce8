"""Nearness to the perceptron: 1e-6 at every step at 1e8, against both computed apart."""

import math

import numpy as np
import pytest
from plain_descent import batch_perceptron, descend, separated_after

import workbench as wb
from workbench.progress import listening
from workbench.stability.large_steps import ExampleSets, example_sets, perceptron_limit


@pytest.fixture(scope="module")
def sets() -> ExampleSets:
    kinds = ["separable", "close", "ill-conditioned", "imbalanced"]
    return example_sets(kinds, ["0/1", "1/8"], seeds=[0], examples=30)


@pytest.fixture(scope="module")
def found(sets: ExampleSets) -> wb.Result:
    return perceptron_limit(sets, (1.0, 1e4, 1e8), limit=1500)


def test_steps_of_1e8_agree_to_1e_6_at_every_step(found: wb.Result) -> None:
    assert found.separated.all()
    assert (found.deviation[:, :, -1] <= 1e-6).all()
    assert found.agreed().tolist()[-1] == 1
    assert (found.deviation[:, :, 0] > 1e-3).any()  # small ones do not


def test_the_distance_is_that_of_two_plain_loops(sets: ExampleSets, found: wb.Result) -> None:
    rows = sets.rows[0]
    for rule in (0, 1):
        perceptron = batch_perceptron(rows, 60, bool(rule))
        ended = separated_after(perceptron, rows)
        assert found.steps[rule, 0] == ended
        for column, rate in enumerate(found.rates):
            apart = [
                float((theta / rate - limit).norm() / limit.norm())
                for theta, limit in zip(descend(rows, rate, 60, bool(rule)), perceptron, strict=True)
            ]
            expected = max(apart[1 : ended + 1])
            assert found.deviation[rule, 0, column] == pytest.approx(expected, rel=1e-6, abs=1e-13)
        least = min(float((rows @ theta).abs().min()) for theta in perceptron[1 : ended + 1])
        assert found.nearest[rule, 0] == pytest.approx(least, rel=1e-9)


def test_an_interrupt_returns_the_comparison_so_far(sets: ExampleSets) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with listening(interrupt):
        part = perceptron_limit(sets, (1e8,), limit=100)
    assert part.interrupted
    assert part.steps.max() == 3
    assert "INTERRUPTED" in part.summary()


def test_the_result_has_a_table_a_picture_and_a_file(found: wb.Result, tmp_path) -> None:
    assert len(found.frame()) == found.deviation.size
    assert found.plot().get_yscale() == "log"
    again = wb.load_result(found.save(tmp_path / "limit.npz"))
    assert again.summary() == found.summary()
    np.testing.assert_array_equal(again.deviation, found.deviation)


def test_an_infinite_rate_is_refused(sets: ExampleSets) -> None:
    with pytest.raises(ValueError, match="they must be finite"):
        perceptron_limit(sets, (1.0, math.inf))
