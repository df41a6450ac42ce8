"""Steps until separated: the paper's table, plain loops, and that neither company nor copies change them."""

import math

import numpy as np
import pytest
import torch
from plain_descent import descend, separated_after

import workbench as wb
from workbench.progress import listening
from workbench.stability.large_steps import ExampleSets, example_sets, sweep_step_sizes, worst_case
from workbench.stability.large_steps.sweeps import MEASURES

RATES = (0.1, 1.0, 10.0, 1e4, 1e8, math.inf)


@pytest.fixture(scope="module")
def sets() -> ExampleSets:
    return example_sets(["separable", "contradictory"], ["0/1", "1/8"], seeds=[0], examples=20)


@pytest.fixture(scope="module")
def sweep(sets: ExampleSets) -> wb.Result:
    return sweep_step_sizes(sets, RATES, limit=150)


def own(*rows: torch.Tensor) -> ExampleSets:
    return ExampleSets(torch.stack(rows), ("separable",) * len(rows), ("-",) * len(rows), (0,) * len(rows))


def test_the_table_of_the_paper() -> None:
    found = sweep_step_sizes(worst_case(1000), (100.0, 10.0, 1.0, 0.1), limit=400)
    assert found.steps[1, 0].tolist() == [2, 2, 16, 157]
    assert found.steps[0, 0, 0] == 308


def test_batch_steps_need_a_time_that_grows_with_the_set_and_normalised_ones_do_not() -> None:
    counts = [sweep_step_sizes(worst_case(n), (math.inf,), limit=400).steps[:, 0, 0] for n in (10, 100, 1000)]
    slow, fast = np.array(counts).T
    assert slow[1] >= 0.3 * 100
    assert slow[2] >= 0.3 * 1000
    assert (fast == 2).all()


def test_steps_and_loss_are_those_of_plain_loops(sets: ExampleSets, sweep: wb.Result) -> None:
    for place, rows in enumerate(sets.rows):
        for rule in (0, 1):
            for column, rate in enumerate(RATES[:-1]):
                iterates = descend(rows, rate, 150, bool(rule))
                ended = separated_after(iterates, rows)
                steps = np.nan if ended is None else ended
                np.testing.assert_equal(sweep.steps[rule, place, column], steps)
                before = iterates[:ended] if ended is not None else iterates[:-1]
                losses = [np.logaddexp(0, -(rows @ theta).numpy()).mean() for theta in before]
                assert sweep.peak_loss[rule, place, column] == pytest.approx(max(losses), rel=1e-9)
                if ended is not None:
                    after = np.logaddexp(0, -(rows @ iterates[ended]).numpy()).mean()
                    assert sweep.last_loss[rule, place, column] == pytest.approx(after, rel=1e-6, abs=1e-200)
                    losses.append(after)
                    assert sweep.risen[rule, place, column] == (np.diff(losses) > 0).sum()


def test_company_changes_nothing(sets: ExampleSets, sweep: wb.Result) -> None:
    for place in (0, 1):  # rounding decides on which side the contradictory example is
        alone = ExampleSets(
            sets.rows[[place]], sets.kinds[place : place + 1], sets.pairs[place : place + 1], (0,)
        )
        for column, rate in enumerate(RATES):
            found = sweep_step_sizes(alone, (rate,), limit=150)
            for name in ("steps", "spent", "inside", "ratio", "peak_loss"):
                together = getattr(sweep, name)[:, place, column]
                np.testing.assert_allclose(getattr(found, name)[:, 0, 0], together, rtol=1e-9, err_msg=name)


def test_copies_of_the_examples_change_no_count(sets: ExampleSets) -> None:
    rows = sets.rows[1]
    once, thrice = own(rows), own(rows.repeat(3, 1))
    np.testing.assert_array_equal(
        sweep_step_sizes(once, RATES, limit=150).steps, sweep_step_sizes(thrice, RATES, limit=150).steps
    )


def test_the_paper_s_two_examples_end_in_two_steps_after_a_loss_of_any_size() -> None:
    found = sweep_step_sizes(own(torch.tensor([[1.0, -1.0], [1.0, 4.0]]).double()), (1e8,), limit=10)
    assert found.steps[0, 0, 0] == 2
    assert found.peak_loss[0, 0, 0] == pytest.approx(1e8 / 8)  # half of log(1 + exp(γ/4))
    assert found.last_loss[0, 0, 0] == pytest.approx(0, abs=1e-12)
    assert found.risen[0, 0, 0] == 1


def test_the_loss_goes_up_while_the_steps_go_down(sweep: wb.Result) -> None:
    steps, peak = sweep.of("separable")[1], sweep.of("separable", measure="peak_loss")[1]
    assert not steps[0] <= 150
    assert steps[3] < steps[2] + 20
    assert peak[4] > 1e3 * peak[3] > 1e5 * peak[1]


def test_what_no_plane_separates_never_ends(sweep: wb.Result) -> None:
    assert not sweep.separated[:, sweep.kinds == "contradictory"].any()
    assert np.isinf(sweep.of("contradictory", measure="bound")).all()
    assert (sweep.margin[sweep.kinds == "contradictory"] == 0).all()


def test_an_interrupt_returns_the_runs_as_far_as_they_are(sets: ExampleSets) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = sweep_step_sizes(sets, RATES, limit=150)
    assert found.interrupted
    assert np.nanmax(found.steps) <= 7
    assert "INTERRUPTED" in found.summary()


def test_the_result_has_a_table_pictures_and_a_file(sweep: wb.Result, tmp_path) -> None:
    table = sweep.frame()
    assert len(table) == sweep.steps.size
    row = table.query("kind == 'separable' and pair == '1/8' and rule == 'normalised' and rate == 1e8")
    assert row["steps"].item() == sweep.steps[1, 1, 4]
    assert row["bound"].item() == sweep.bound[1, 1, 4]
    medians = sweep.by_rate()
    assert medians.query("kind == 'contradictory'")["separated"].sum() == 0
    for measure in MEASURES:
        assert sweep.plot(measure=measure).get_xlabel().startswith("step size")
    again = wb.load_result(sweep.save(tmp_path / "sweep.npz"))
    assert again.summary() == sweep.summary()
    assert "within their bound" in sweep.summary()


def test_what_is_not_allowed_is_refused(sets: ExampleSets, sweep: wb.Result) -> None:
    with pytest.raises(ValueError, match="rates is empty"):
        sweep_step_sizes(sets, ())
    with pytest.raises(ValueError, match="rate=0"):
        sweep_step_sizes(sets, (0,))
    with pytest.raises(ValueError, match="limit=0 is out of range"):
        sweep_step_sizes(sets, RATES, limit=0)
    with pytest.raises(ValueError, match="did you mean 'separable'"):
        sweep.of("seperable")
