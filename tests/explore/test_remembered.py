"""A result is computed once for the same problem and parameters, and anew when either changes."""

import dataclasses

import pytest
import torch
from torch import nn

from workbench import Estimate, Problem
from workbench.explore import remembered as module
from workbench.explore.remembered import remembered, result_key
from workbench.result import Result

ANSWER = {"trace": Estimate("trace", 1.0, 0.1, (0.9, 1.1), 2)}


@pytest.fixture(autouse=True)
def forgotten():
    module._results.clear()


def make_problem(**options):
    torch.manual_seed(0)
    inputs, targets = torch.randn(9, 4), torch.randint(0, 3, (9,))
    data = options.pop("data", [(inputs[:5], targets[:5]), (inputs[5:], targets[5:])])
    return Problem(nn.Linear(4, 3), nn.CrossEntropyLoss(), data, **options)


def test_the_same_question_is_answered_from_memory():
    calls = []
    for _ in range(2):
        key = result_key("curvature", make_problem(), {"k": 3})
        result, known = remembered(key, lambda: calls.append(1) or ANSWER)
    assert (result, known, len(calls)) == (ANSWER, True, 1)


def test_any_change_is_another_question():
    problem = make_problem()
    keys = {result_key("curvature", problem, {"k": 3}), result_key("curvature", problem, {"k": 4})}
    keys |= {
        result_key("saliency", problem, {"k": 3}),
        result_key("curvature", problem.restrict("bias"), {"k": 3}),
    }
    keys.add(result_key("curvature", make_problem(weight_decay=0.1), {"k": 3}))
    keys.add(result_key("curvature", problem.with_data((torch.zeros(2, 4), torch.zeros(2).long())), {"k": 3}))
    with torch.no_grad():
        problem.model.bias[0] += 1e-3
    keys.add(result_key("curvature", problem, {"k": 3}))
    assert len(keys) == 7


def test_a_failure_is_not_remembered():
    with pytest.raises(ZeroDivisionError):
        remembered("key", lambda: 1 / 0)
    assert remembered("key", lambda: ANSWER) == (ANSWER, False)


@dataclasses.dataclass(frozen=True, repr=False)
class Large(Result):
    values: torch.Tensor


def test_the_oldest_is_forgotten_when_memory_is_used_up(monkeypatch):
    monkeypatch.setattr(module, "_KEPT_BYTES", 1000)
    for key in "abc":
        remembered(key, lambda: {"large": Large(torch.zeros(100))})
    assert list(module._results) == ["b", "c"]
    remembered("too large", lambda: {"large": Large(torch.zeros(1000))})
    assert not module._results


@dataclasses.dataclass(frozen=True, repr=False)
class Nested(Result):
    parts: tuple[Result, ...]
    by_name: dict[str, Result]


def test_results_within_results_count(monkeypatch):
    monkeypatch.setattr(module, "_KEPT_BYTES", 1000)
    large = Large(torch.zeros(100))
    for nested in (Nested((large, large, large), {}), Nested((), {"a": large, "b": large, "c": large})):
        remembered("nested", lambda nested=nested: {"nested": nested})
        assert not module._results
    remembered("small", lambda: {"nested": Nested((large,), {"a": large})})
    assert list(module._results) == ["small"]
