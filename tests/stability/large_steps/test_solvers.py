"""Other solvers: the perceptron by hand, planes that separate, and mistakes within Novikoff's bound."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit

import workbench as wb
from workbench.progress import listening
from workbench.random_vectors import generator
from workbench.stability.large_steps import (
    ExampleSets,
    compare_solvers,
    example_sets,
    max_margins,
    sweep_step_sizes,
)
from workbench.stability.large_steps.solvers import SOLVERS


@pytest.fixture(scope="module")
def sets() -> ExampleSets:
    return example_sets(["separable", "ill-conditioned", "contradictory"], ["1/8"], seeds=[0, 3], examples=20)


@pytest.fixture(scope="module")
def contest(sets: ExampleSets) -> wb.Result:
    return compare_solvers(sets, limit=200)


def test_the_perceptron_is_the_one_that_corrects_a_mistake_at_a_time(
    sets: ExampleSets, contest: wb.Result
) -> None:
    place = SOLVERS.index("perceptron")
    for number, (rows, seed) in enumerate(zip(sets.rows[:4], sets.seeds[:4], strict=True)):
        rows = rows[torch.randperm(len(rows), generator=generator(seed))]
        plane, mistakes, passes = torch.zeros(rows.shape[1]).double(), 0, 0
        while (rows @ plane <= 0).any():
            passes += 1
            for row in rows:
                if row @ plane <= 0:
                    plane, mistakes = plane + row, mistakes + 1
        assert (contest.passes[place, number], contest.mistakes[number]) == (passes, mistakes)
        share = (rows @ plane).min() / plane.norm() / max_margins(sets.rows[[number]]).margin[0]
        assert contest.share[place, number] == pytest.approx(share.item())
    assert (contest.mistakes <= contest.difficulty).all()


def test_descents_are_those_of_a_sweep(sets: ExampleSets, contest: wb.Result) -> None:
    sweep = sweep_step_sizes(sets, (1e8, float("inf")), limit=200)
    for rule, name in enumerate(("gradient descent", "normalised")):
        for column, rate in enumerate(("γ = 1e8", "perceptron in batches")):
            found = contest.passes[SOLVERS.index(f"{name}, {rate}")]
            np.testing.assert_array_equal(found, sweep.steps[rule, :, column])


def test_a_plane_that_separates_has_a_margin_and_none_has_a_wider_one(contest: wb.Result) -> None:
    done = np.isfinite(contest.passes)
    assert ((contest.share[done] > 0) & (contest.share[done] <= 1 + 1e-9)).all()
    assert np.isnan(contest.share[~done]).all()
    assert not done[:, contest.kinds == "contradictory"].any()
    assert done[SOLVERS.index("L-BFGS"), :4].all()


def test_lbfgs_stops_at_the_first_point_that_separates(sets: ExampleSets, contest: wb.Result) -> None:
    for number, rows in enumerate(sets.rows[:4].numpy()):
        seen = []

        def evaluate(
            theta: np.ndarray, rows: np.ndarray = rows, seen: list = seen
        ) -> tuple[float, np.ndarray]:
            seen.append((rows @ theta > 0).all())
            margins = rows @ theta
            return np.logaddexp(0, -margins).mean(), -(expit(-margins) @ rows) / len(rows)

        minimize(evaluate, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options={"maxfun": 100})
        assert contest.passes[SOLVERS.index("L-BFGS"), number] == seen.index(True)


def test_the_result_has_a_table_a_picture_and_a_file(contest: wb.Result, tmp_path) -> None:
    assert len(contest.frame()) == contest.passes.size
    table = contest.by_solver().set_index(["kind", "solver"])
    row = table.loc[("separable", "L-BFGS")]
    found = contest.passes[SOLVERS.index("L-BFGS"), contest.kinds == "separable"]
    assert row["passes"] == pytest.approx(np.exp(np.log(found).mean()))
    assert row["low"] <= row["passes"] <= row["high"]
    assert contest.plot().get_ylabel().startswith("passes")
    other = contest.passes[SOLVERS.index("gradient descent, γ = 1/L"), contest.kinds == "separable"]
    ratio = contest.times("separable", "L-BFGS")
    assert ratio.mean == pytest.approx(np.exp(np.log(found / np.nan_to_num(other, nan=200)).mean()))
    assert ratio.low < ratio.mean < ratio.high
    again = wb.load_result(contest.save(tmp_path / "contest.npz"))
    assert again.summary() == contest.summary()
    with pytest.raises(ValueError, match="limit=0 is out of range"):
        compare_solvers(example_sets(["separable"], ["0/1"], seeds=[0]), limit=0)
    with pytest.raises(ValueError, match="did you mean 'L-BFGS'"):
        contest.times("separable", "LBFGS")


def test_an_interrupt_leaves_the_solvers_that_are_done() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description.startswith("solvers") and done >= 2:
            raise KeyboardInterrupt

    with listening(stop):
        contest = compare_solvers(example_sets(["separable"], ["1/8"], seeds=[0], examples=20), limit=50)
    assert contest.interrupted
    assert contest.solvers == SOLVERS[: SOLVERS.index("L-BFGS")]
    assert len(contest.passes) == len(contest.share) == len(contest.solvers)
    assert set(contest.frame().solver) == set(contest.by_solver().solver) == set(contest.solvers)
    assert "L-BFGS" not in contest.summary()
    contest.plot()
