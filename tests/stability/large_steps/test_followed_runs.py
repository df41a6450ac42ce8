"""Runs step by step: the same as in a sweep, with every loss, error and ratio of theirs."""

import math

import numpy as np
import pytest
from plain_descent import descend

import workbench as wb
from workbench.progress import listening
from workbench.stability.large_steps import ExampleSets, example_sets, follow_runs, sweep_step_sizes

RATES = (0.1, 10.0, 1e8, math.inf)


@pytest.fixture(scope="module")
def one() -> ExampleSets:
    return example_sets(["separable"], ["1/8"], seeds=[0], examples=30)


@pytest.fixture(scope="module")
def runs(one: ExampleSets) -> wb.Result:
    return follow_runs(one, RATES, steps=120)


def test_losses_and_errors_are_those_of_plain_loops(one: ExampleSets, runs: wb.Result) -> None:
    rows = one.rows[0]
    for rule, name in enumerate(("gradient descent", "normalised")):
        iterates = descend(rows, 10.0, 40, bool(rule))
        loss = [np.logaddexp(0, -(rows @ theta).numpy()).mean() for theta in iterates]
        wrong = [float((rows @ theta <= 0).double().mean()) for theta in iterates]
        np.testing.assert_allclose(runs.curve("loss", 10.0, name)[:41], loss, rtol=1e-9)
        np.testing.assert_allclose(runs.curve("wrong", 10.0, name)[:41], wrong)
    assert runs.curve("loss", 0.1)[0] == pytest.approx(math.log(2))
    assert np.isnan(runs.curve("loss", math.inf)).all()


def test_they_are_the_runs_of_a_sweep(one: ExampleSets, runs: wb.Result) -> None:
    sweep = sweep_step_sizes(one, RATES, limit=120)
    np.testing.assert_array_equal(runs.steps, sweep.steps[:, 0])
    for rule in (0, 1):
        for column in range(len(RATES)):
            end = int(np.nan_to_num(runs.steps[rule, column], nan=120))
            ratio, rises = runs.ratio[rule, column, :end], runs.rises[rule, column, :end]
            assert sweep.ratio[rule, 0, column] == pytest.approx(np.exp(np.log(ratio[1:]).mean()))
            assert sweep.inside[rule, 0, column] == (ratio < 1).sum()
            assert sweep.risen[rule, 0, column] == (rises > 0).sum()
            assert sweep.risen_inside[rule, 0, column] == ((rises > 0) & (ratio < 1)).sum()


def test_large_steps_leave_the_radius_behind_and_work(runs: wb.Result) -> None:
    ended = int(runs.steps[0, 2])
    assert np.median(runs.curve("ratio", 1e8)[:ended]) > 1
    assert np.median(runs.curve("ratio_bound", 1e8)[:ended]) > 1e5
    assert np.median(runs.curve("ratio", 1e8)[1:ended]) < 1e3  # while margins grow with the step
    assert runs.curve("ratio", 0.1).max() < 0.1
    assert math.isnan(runs.steps[0, 0])


def test_an_interrupt_returns_the_steps_so_far(one: ExampleSets) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with listening(interrupt):
        part = follow_runs(one, RATES, steps=50)
    assert part.interrupted
    assert part.ratio.shape == (2, 4, 4)
    assert part.loss.shape == (2, 4, 5)
    assert "INTERRUPTED" in part.summary()


def test_the_result_has_a_table_pictures_and_a_file(runs: wb.Result, tmp_path) -> None:
    table = runs.frame()
    assert len(table) == runs.loss.size
    row = table.query("rule == 'normalised' and rate == 10 and step == 7")
    assert row["ratio"].item() == runs.ratio[1, 1, 7]
    assert table["ratio"].isna().sum() == 8  # after the last step
    for measure in ("loss", "wrong", "ratio", "ratio_bound"):
        assert runs.plot(measure=measure).get_xlabel() == "step"
    assert runs.plot_rises().get_xscale() == "log"
    again = wb.load_result(runs.save(tmp_path / "runs.npz"))
    assert again.summary() == runs.summary()


def test_what_is_not_allowed_is_refused(runs: wb.Result) -> None:
    with pytest.raises(ValueError, match="sets holds 2 sets"):
        follow_runs(example_sets(["separable"], ["0/1"], seeds=[0, 1]))
    with pytest.raises(ValueError, match="rate=3 is not one of"):
        runs.curve("loss", 3)
    with pytest.raises(ValueError, match="did you mean 'loss'"):
        runs.curve("los", 10.0)
