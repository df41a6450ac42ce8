"""A contest holds what the trained problems measured, with intervals over seeds."""

import numpy as np
import pytest
from scipy import stats

import workbench as wb
from workbench.attention import AttentionContest, compare_attention
from workbench.progress import listening

SMALL = {"width": 16, "blocks": 1, "epochs": 1}


def contest(seeds: int = 3) -> AttentionContest:
    values = np.arange(3 * 2 * 3, dtype=float).reshape(3, 2, 3) ** 1.5
    return AttentionContest("text-gpt", ("softmax", "elu"), (10, 10), values[..., :seeds], 1, 16, 1)


def test_values_are_those_of_the_problems() -> None:
    found = compare_attention(kinds=["softmax", "norm-aware"], seeds=2, **SMALL)
    for kind in found.kinds:
        for seed in range(2):
            problem = wb.load_problem("digits-transformer", attention=kind, seed=seed, **SMALL)
            place = found.kinds.index(kind)
            assert found.values[:, place, seed].tolist() == [
                problem.metrics[name] for name in ("train_loss", "test_loss", "test_accuracy")
            ]
    assert found.parameters == (problem.num_parameters,) * 2
    assert not np.array_equal(found.values[:, 0], found.values[:, 1])


def test_intervals_are_students() -> None:
    found = contest()
    for of, values in (
        (found.mean("elu"), found.values[1, 1]),
        (found.difference("elu"), found.values[1, 1] - found.values[1, 0]),
    ):
        low, high = stats.ttest_1samp(values, 0).confidence_interval()
        assert of[0] - of[1] == pytest.approx(low)
        assert of[0] + of[1] == pytest.approx(high)
    assert found.difference("softmax") == (0, 0)
    assert np.isnan(contest(1).mean("elu")[1])


def test_an_interrupt_keeps_whole_seeds() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if "compared" in description and done == 3:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = compare_attention(kinds=["softmax", "norm-aware"], seeds=2, **SMALL)
    assert found.seeds == 1
    assert found.interrupted
    assert "INTERRUPTED" in found.summary()


def test_the_result_has_a_table_a_picture_and_a_file(tmp_path) -> None:
    found = contest()
    table = found.frame()
    assert list(table["kind"]) == ["softmax", "elu"]
    assert table["test_loss"].iloc[1] == pytest.approx(found.values[1, 1].mean())
    assert found.plot(measure="test_accuracy").get_ylabel() == "held-out accuracy"
    again = wb.load_result(found.save(tmp_path / "contest.npz"))
    assert again.summary() == found.summary()


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'text-gpt'"):
        compare_attention("text-gtp")
    with pytest.raises(ValueError, match="did you mean 'elu'"):
        compare_attention(kinds=["elu1"])
    with pytest.raises(ValueError, match="kinds is empty"):
        compare_attention(kinds=[])
    with pytest.raises(ValueError, match="did you mean 'test_loss'"):
        contest().mean("elu", "testloss")
