"""The contest: choices of weights, seed by seed differences, and that alignment pays where it must."""

from unittest import mock

import numpy as np
import pytest
import torch
from scipy import stats

from workbench.domains import DomainContest, compare_domains
from workbench.domains import domain_contests as module
from workbench.domains.domain_contests import MEASURES
from workbench.domains.environments import make_environments
from workbench.domains.trained_networks import domain_problems
from workbench.result import load_result


@pytest.fixture(scope="module")
def contest() -> DomainContest:
    return compare_domains(
        "correlation", ("erm", "vrex"), weights=(1.0, 3000.0), width=16, steps=100, seeds=2
    )


def test_matching_risks_pays_where_colours_deceive(contest):
    erm, aligned = (contest.mean(method, selection="oracle")[0] for method in contest.methods)
    assert erm < 0.3
    assert aligned > erm + 0.15
    # Examples of the training environments prefer colours, and choose the smaller weight.
    assert contest.chosen("vrex") == 1.0
    assert contest.chosen("vrex", "oracle") == 3000.0
    assert contest.mean("vrex")[0] < contest.mean("vrex", selection="oracle")[0]


def test_accuracy_and_distance_are_those_of_the_networks_by_themselves():
    found = compare_domains("label", ("fishr",), weights=(10.0,), width=8, steps=40, seeds=2)
    values = found.values[:, 0, 0]
    problems = domain_problems("label", "fishr", weight=10.0, width=8, steps=40, seeds=2)
    for seed, (*train, test) in enumerate(problems):
        drawn = make_environments("label", seed)
        parts = {"train": drawn.train, "validation": drawn.validation, "test": drawn.test}
        for name, (inputs, labels) in parts.items():
            right = int((test.model(inputs).argmax(-1) == labels).sum())
            mine = values[MEASURES.index(f"{name}_accuracy"), seed] * labels.numel()
            assert mine == pytest.approx(right, abs=1.001)  # one example, by rounding
        heads = [
            torch.autograd.functional.hessian(
                lambda head, problem=problem: problem.evaluate(
                    problem.parameters()
                    | {"head.weight": head[:, :-1].float(), "head.bias": head[:, -1].float()},
                    next(problem.batches())[0],
                )[1],
                torch.cat([problem.model.head.weight, problem.model.head.bias[:, None]], 1).detach(),
            ).reshape(90, 90)
            for problem in (*train, test)
        ]
        source, target = (heads[0] + heads[1]) / 2, heads[2]
        norms = [torch.linalg.matrix_norm(each, 2) for each in (source - target, source, target)]
        truth = float(norms[0] / max(norms[1:]))
        assert values[MEASURES.index("head_distance"), seed] == pytest.approx(truth, rel=2e-2)


def test_intervals_and_differences_are_students_seed_by_seed(contest):
    values = contest.values[MEASURES.index("test_accuracy")]
    mean, half = contest.mean("vrex", selection="oracle")
    low, high = stats.t.interval(0.95, 1, values[1, 1].mean(), stats.sem(values[1, 1]))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    best = list(contest.weights).index(contest.chosen("erm", "oracle"))
    more = contest.difference("vrex", selection="oracle")[0]
    assert more == pytest.approx((values[1, 1] - values[0, best]).mean())
    less = contest.difference("erm", selection="oracle", beside="vrex")[0]
    assert less == pytest.approx(-more)


def test_a_weight_at_which_a_training_diverged_is_not_chosen(contest):
    values = contest.values.copy()
    values[:, 1, 0, 0] = np.nan
    assert contest.replace(values=values).chosen("vrex") == 3000.0


def test_the_seed_repeats_it_and_methods_do_not_disturb_each_other(contest):
    alone = compare_domains("correlation", ("vrex",), weights=(1.0, 3000.0), width=16, steps=100, seeds=2)
    np.testing.assert_array_equal(alone.values[:, 0], contest.values[:, 1])


def test_the_result_is_a_table_a_picture_and_a_file(contest, tmp_path):
    assert len(contest.frame()) == 4
    assert contest.frame().loc[2, "test_accuracy"] == pytest.approx(
        contest.at("vrex", "test_accuracy", 1.0)[0]
    )
    axes = contest.plot()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["erm", "vrex"]
    assert "test accuracy" in contest.summary()
    again = load_result(contest.save(tmp_path / "contest.wb"))
    np.testing.assert_array_equal(again.values, contest.values)


def test_networks_are_measured_one_at_a_time():
    with mock.patch.object(module, "head_hessian", wraps=module.head_hessian) as look:
        compare_domains("label", ("erm",), weights=(1.0, 10.0), width=4, steps=2, seeds=2)
    drawn = make_environments("label")
    assert {call.args[0].numel() // 5 for call in look.call_args_list} == {
        drawn.train[1].numel(),
        drawn.test[1].numel(),
    }


def test_of_a_training_that_diverged_nothing_is_measured():
    train = module.train_stacked

    def spoil(*given, **options):
        networks = train(*given, **options)
        networks.biases[0][2] = torch.nan  # the second weight's first seed
        return networks

    with mock.patch.object(module, "train_stacked", spoil):
        found = compare_domains("label", ("erm",), weights=(1.0, 10.0), width=4, steps=2, seeds=2)
    np.testing.assert_array_equal(np.isnan(found.values[:, 0]), [[[False, False], [True, False]]] * 4)


def test_an_interrupt_keeps_the_methods_that_are_done():
    train = module.train_stacked

    def stop(method, *given, **options):
        if method == "irm":
            raise KeyboardInterrupt
        return train(method, *given, **options)

    with mock.patch.object(module, "train_stacked", stop):
        found = compare_domains("label", ("coral", "irm"), weights=(1.0,), width=4, steps=2, seeds=1)
        assert found.interrupted
        assert found.methods == ("coral",)
        assert "INTERRUPTED" in found.summary()
        with pytest.raises(KeyboardInterrupt):
            compare_domains("label", ("irm",), weights=(1.0,), width=4, steps=2, seeds=1)


def test_what_is_not_allowed_is_refused(contest):
    with pytest.raises(ValueError, match="did you mean 'hessian'"):
        compare_domains(methods=("hesian",))
    with pytest.raises(ValueError, match="methods is empty"):
        compare_domains(methods=())
    with pytest.raises(ValueError, match="weights=0"):
        compare_domains(weights=(0.0,))
    with pytest.raises(ValueError, match="weights is empty"):
        compare_domains(weights=())
    with pytest.raises(ValueError, match="seeds=0"):
        compare_domains(seeds=0)
    with pytest.raises(ValueError, match="is none of 1, 3000"):
        contest.at("erm", "test_accuracy", 2.0)
    with pytest.raises(ValueError, match="selection='test'"):
        contest.chosen("erm", "test")
