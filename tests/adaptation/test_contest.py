"""A contest holds what the trainings measured; rates are chosen by examples that nothing else uses."""

import numpy as np
import pytest
import torch
from scipy import stats

import workbench as wb
from workbench.adaptation import AdaptationContest, compare_adaptations
from workbench.adaptation.contest import MEASURES
from workbench.adaptation.fine_tuning import adapted, fine_tune
from workbench.adaptation.tasks import load_task
from workbench.progress import listening


def contest(seeds: int = 3) -> AdaptationContest:
    """Two methods at three rates, with numbers that are easy to compute from."""
    values = np.random.default_rng(0).uniform(1, 2, (len(MEASURES), 2, 3, 3))
    values[MEASURES.index("validation_loss")] += np.array([[0, 2, 2], [2, 2, 0]])[:, :, None]
    return AdaptationContest(
        "turned", ("full", "dora"), np.array([0.01, 0.1, 1.0]), (9, 4), values[..., :seeds],
        np.full(seeds, 0.1), 2, 100, 1, "adamw",
    )  # fmt: skip


def test_values_are_those_of_the_trainings(small):
    rates = (0.003, 0.02)
    found = compare_adaptations("negative", ("full", "lora"), rates, rank=2, epochs=1, seeds=2, **small)
    for seed in range(2):
        task = load_task("negative", seed=seed, **small)
        images, labels = task.test
        right = (task.network(images).argmax(1) == labels).double().mean().item()
        assert found.start[seed] == right
        for row, method in enumerate(found.methods):
            network = adapted(task.network, method, 2, seed)
            fine_tune(network, task.train, optimizer="adamw", rate=rates[1], epochs=1, seed=seed)
            with torch.no_grad():
                outputs = network(images)
                loss = torch.nn.functional.cross_entropy(outputs, labels).item()
            values = dict(zip(MEASURES, found.values[:, row, 1, seed], strict=True))
            assert values["test_loss"] == pytest.approx(loss, rel=1e-6)
            assert values["test_accuracy"] == (outputs.argmax(1) == labels).double().mean().item()
    assert found.parameters[1] < found.parameters[0]
    assert (found.values[MEASURES.index("step_seconds")] > 0).all()


def test_rates_are_chosen_by_the_validation_loss_alone():
    found = contest()
    assert found.chosen == {"full": 0.01, "dora": 1.0}
    values = found.values.copy()
    values[MEASURES.index("test_loss"), :, 1] = 0
    assert found.replace(values=values).chosen == found.chosen
    values[:, 0, 0, 1] = np.nan  # a training that diverged
    assert found.replace(values=values).chosen["full"] != 0.01


def test_intervals_are_students_at_the_chosen_rates():
    found = contest()
    accuracy = found.values[MEASURES.index("test_accuracy")]
    for of, values in (
        (found.mean("dora", "test_accuracy"), accuracy[1, 2]),
        (found.mean("dora", "test_accuracy", 0.1), accuracy[1, 1]),
        (found.difference("dora"), accuracy[1, 2] - accuracy[0, 0]),
        (found.difference("full", beside="dora"), accuracy[0, 0] - accuracy[1, 2]),
    ):
        low, high = stats.ttest_1samp(values, 0).confidence_interval()
        assert of[0] - of[1] == pytest.approx(low)
        assert of[0] + of[1] == pytest.approx(high)
    assert np.isnan(contest(1).mean("full", "test_loss")[1])


def test_times_are_compared_training_by_training():
    found = contest()
    values = found.values.copy()
    values[MEASURES.index("step_seconds"), 1] = 3 * values[MEASURES.index("step_seconds"), 0]
    np.testing.assert_allclose(found.replace(values=values).slower("dora"), 3)


def test_a_training_that_diverges_is_nan_and_not_chosen(small):
    found = compare_adaptations("turned", ("full",), (1e-3, 1e30), epochs=1, seeds=1, **small)
    assert np.isnan(found.values[:4, 0, 1]).all()
    assert found.chosen == {"full": 1e-3}
    found.plot()


def test_an_interrupt_keeps_whole_seeds(small):
    def interrupt(description: str, done: int, total: int | None) -> None:
        if "compared" in description and done == 3:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = compare_adaptations("turned", ("full", "lora"), (1e-2,), epochs=1, seeds=2, **small)
    assert found.seeds == len(found.start) == 1
    assert "INTERRUPTED" in found.summary()


def test_the_result_has_a_table_a_picture_and_a_file(tmp_path):
    found = contest()
    table = found.frame()
    assert len(table) == 6
    assert table[table["chosen"]]["rate"].tolist() == [0.01, 1.0]
    assert found.plot(measure="test_loss").get_ylabel() == "held-out loss"
    plain, marked = (found.plot(limits=limits) for limits in (None, {"dora": 0.2}))
    assert len(marked.lines) == len(plain.lines) + 1
    again = wb.load_result(found.save(tmp_path / "contest.npz"))
    assert again.summary() == found.summary()
    assert again.chosen == found.chosen


def test_what_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="did you mean 'lora'"):
        compare_adaptations(methods=["loora"])
    with pytest.raises(ValueError, match="methods is empty"):
        compare_adaptations(methods=[])
    with pytest.raises(ValueError, match=r"rates=0\.0 is out of range"):
        compare_adaptations(rates=[0.0])
    with pytest.raises(ValueError, match="did you mean 'sgd'"):
        compare_adaptations(optimizer="sdg")
    with pytest.raises(ValueError, match=r"rate=0\.5 was not trained at; there are \[0.01, 0.1, 1.0\]"):
        contest().mean("full", "test_loss", 0.5)
    with pytest.raises(ValueError, match="did you mean 'test_loss'"):
        contest().plot(measure="testloss")
