"""The contest counts passes right, and its fixed settings are plain heavy ball."""

import numpy as np
import pytest
import torch
from batch_size_problems import small_problem

import workbench as wb
from workbench.progress import listening
from workbench.stability.batch_size import compare_learner
from workbench.stability.batch_size.stacked_runs import batch_orders, examples_of

QUICK = {"batch_size": 4, "epochs": 2, "examples": 16, "seeds": 2, "fixed": [(0.1, 0.0), (0.02, 0.9)]}


@pytest.fixture(scope="module")
def contest():
    return compare_learner(small_problem(), **QUICK)


def test_fixed_settings_train_for_as_many_passes_as_the_dearest_seed(contest):
    dearest = max(found.passes[-1].max() for found in contest.learners)
    assert contest.passes == int(np.ceil(dearest))
    assert contest.fixed_loss.shape == (2, contest.passes + 1, 2)
    assert contest.passes > 2


def test_fixed_settings_are_heavy_ball(contest, make_problem):
    problem = make_problem()
    inputs, targets = examples_of(problem)
    places = batch_orders(48, 4, contest.passes * 12, [0])[0]
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.02, momentum=0.9)
    for chosen in places[:24]:
        optimizer.zero_grad()
        problem.loss(problem.model(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()
    assert contest.fixed_loss[1, 2, 0] == pytest.approx(problem.loss_at(), rel=1e-6)


def test_ratios_are_at_each_seeds_own_passes(contest):
    learner = contest.learners[0]
    spent = np.floor(learner.passes[-1]).astype(int)
    logs = [np.log(contest.fixed_loss[0, spent[run], run] / learner.loss[-1, run]) for run in range(2)]
    assert contest.at_passes(0, 0).mean == pytest.approx(np.exp(np.mean(logs)))
    logs = np.log(contest.fixed_loss[0, 2] / learner.loss[2])
    assert contest.at_epochs(0, 0).mean == pytest.approx(np.exp(np.mean(logs)))
    table = contest.frame().query("learner == 'corrected'")
    assert contest.better(0) == ((table["at_equal_passes"] < 1).sum(), (table["at_equal_epochs"] < 1).sum())


def test_a_seed_is_compared_after_what_it_spent_itself(contest):
    passes = contest.learners[0].passes.copy()
    passes[-1] = [2.5, contest.passes + 1.0]  # the second was cut short
    changed = contest.replace(learners=(contest.learners[0].replace(passes=passes),))
    found = changed.at_passes(0, 0)
    assert found.used == 1
    assert found.mean == pytest.approx(contest.fixed_loss[0, 2, 0] / contest.learners[0].loss[-1, 0])


def test_what_has_exploded_counts_by_a_bound(contest):
    losses = contest.fixed_loss.copy()
    losses[0] = [[np.inf, np.nan]]
    found = contest.replace(fixed_loss=losses).at_passes(0, 0)
    assert found.used == 2
    assert found.mean == pytest.approx(np.exp(np.log(1e6 / contest.learners[0].loss[-1]).mean()))


def test_the_result_is_drawn_and_saved(contest, tmp_path):
    assert len(contest.frame()) == 3 * 2
    assert contest.plot().get_xlabel() == "gradients over all the data"
    again = wb.load_result(contest.save(tmp_path / "contest"))
    assert again.summary() == contest.summary()
    assert "fixed settings" in contest.summary()


def test_an_interrupt_keeps_the_passes_that_are_done(make_problem):
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "fixed rates" and done > 13:
            raise KeyboardInterrupt

    with listening(stop):
        found = compare_learner(make_problem(), **QUICK)
    assert found.interrupted
    assert found.passes == 1
    assert np.isfinite(found.frame()["at_equal_epochs"]).all()


def test_an_interrupt_in_the_first_pass_keeps_the_learners(make_problem):
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "fixed rates" and done > 1:
            raise KeyboardInterrupt

    with listening(stop):
        found = compare_learner(make_problem(), **QUICK)
    assert found.interrupted
    assert found.passes == 0
    assert len(found.learners) == 3
    assert np.isnan(found.at_passes(0, 0).mean)
    assert "INTERRUPTED" in found.summary()


def test_an_interrupt_keeps_the_learners_that_are_done(make_problem):
    started = []

    def stop(description: str, done: int, total: int | None) -> None:
        started.append(description.startswith("learnt trainings") and done == 1)
        if started[-1] and sum(started) == 2:
            raise KeyboardInterrupt

    with listening(stop):
        found = compare_learner(make_problem(), **QUICK)
    assert found.interrupted
    assert [each.name for each in found.learners] == ["corrected"]
    assert found.passes == 0


def test_what_cannot_be_compared_is_refused(make_problem):
    with pytest.raises(ValueError, match="fixed is empty"):
        compare_learner(make_problem(), fixed=[])
    with pytest.raises(ValueError, match="momentum=1"):
        compare_learner(make_problem(), fixed=[(0.1, 1)])
