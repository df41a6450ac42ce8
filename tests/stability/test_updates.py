"""The update that an optimiser would make, against formulas and against the step that it then makes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adagrad, Adam, AdamW, Muon, NAdam, Optimizer, RMSprop
from torch.optim.lr_scheduler import StepLR

import workbench as wb
from workbench.stability import update_vector
from workbench.stability.updates import are_finite, distance, length, scale_step, take_step

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda p: SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: Adam(p, lr=0.01),
    "AMSGrad": lambda p: Adam(p, lr=torch.tensor(0.01), amsgrad=True),
    "AdamW": lambda p: AdamW(p, lr=0.01, weight_decay=0.3),
    "fused AdamW": lambda p: AdamW(p, lr=0.01, fused=True),
    "NAdam": lambda p: NAdam(p, lr=0.01),
    "RMSprop": lambda p: RMSprop(p, lr=0.01, momentum=0.5),
    "Adagrad": lambda p: Adagrad(p, lr=0.01),
    "Muon": lambda p: Muon([each for each in p if each.dim() == 2], lr=0.02),
    "LBFGS": lambda p: LBFGS(p, lr=0.1, max_iter=4),
}


def small_problem(dtype: torch.dtype = torch.float64) -> wb.Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).to(dtype)
        data = torch.randn(7, 3, dtype=dtype), torch.randint(0, 4, (7,))
    return wb.Problem(model, nn.CrossEntropyLoss(), data)


def step_by_torch(problem: wb.Problem, optimizer: Optimizer) -> None:
    (inputs, targets), _ = next(problem.batches())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = problem.loss(problem.model(inputs), targets)
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_update_is_the_one_that_the_optimizer_then_makes(name: str) -> None:
    problem = small_problem()
    optimizer = OPTIMIZERS[name](list(problem.model.parameters()))
    for _ in range(4):
        before, expected = problem.parameters_vector(), update_vector(problem, optimizer)
        step_by_torch(problem, optimizer)
        update = problem.parameters_vector() - before
        torch.testing.assert_close(expected, update, rtol=1e-9, atol=1e-13)
        assert update.norm() > 0


def test_closed_forms_of_momentum_and_of_adams_first_step() -> None:
    problem = small_problem()
    parameters = list(problem.model.parameters())
    momentum = SGD(parameters, lr=0.1, momentum=0.9)
    first = problem.gradient()
    torch.testing.assert_close(update_vector(problem, momentum), -0.1 * first)
    step_by_torch(problem, momentum)
    torch.testing.assert_close(
        update_vector(problem, momentum), -0.1 * (0.9 * first + problem.gradient()), rtol=1e-9, atol=1e-14
    )
    gradient = problem.gradient()
    adam = update_vector(problem, Adam(parameters, lr=0.01))
    torch.testing.assert_close(adam, -0.01 * gradient / (gradient.abs() + 1e-8), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_changes(name: str) -> None:
    problem = small_problem()
    parameters = list(problem.model.parameters())
    optimizer = OPTIMIZERS[name](parameters)
    scheduler = StepLR(optimizer, 2)
    for _ in range(2):
        step_by_torch(problem, optimizer)
        scheduler.step()
    theta, gradients = problem.parameters_vector(), [p.grad for p in parameters]
    values = [None if gradient is None else gradient.clone() for gradient in gradients]
    state, groups = optimizer.state, optimizer.param_groups
    saved = copy.deepcopy(optimizer.state_dict())
    attributes = dict(vars(optimizer))
    update_vector(problem, optimizer)
    assert torch.equal(problem.parameters_vector(), theta)
    for parameter, gradient, value in zip(parameters, gradients, values, strict=True):
        assert parameter.grad is gradient
        assert gradient is None or (value is not None and torch.equal(gradient, value))
    assert (optimizer.state is state, optimizer.param_groups is groups) == (True, True)
    assert_same(optimizer.state_dict(), saved)
    assert vars(optimizer).keys() == attributes.keys()


def test_an_error_in_the_step_puts_everything_back() -> None:
    class Broken(SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            super().step(closure)
            raise ArithmeticError("broken")

    problem = small_problem()
    optimizer = Broken(problem.model.parameters(), lr=0.1, momentum=0.9)
    theta = problem.parameters_vector()
    with pytest.raises(ArithmeticError):
        update_vector(problem, optimizer)
    assert torch.equal(problem.parameters_vector(), theta)
    assert not optimizer.state
    assert all(p.grad is None for p in problem.model.parameters())


def test_parameters_stand_in_the_order_of_the_problem() -> None:
    problem = small_problem()
    *others, bias = problem.model.parameters()
    groups: list[dict[str, Any]] = [{"params": [bias], "lr": 2.0}, {"params": others[::-1]}]
    optimizer = SGD(groups, lr=0.1)
    rates = torch.full((problem.num_parameters,), 0.1).double()
    rates[-4:] = 2.0
    torch.testing.assert_close(update_vector(problem, optimizer), -rates * problem.gradient())


def test_parameters_outside_the_optimizer_or_the_selection() -> None:
    problem = small_problem()
    optimizer = SGD(problem.model[0].parameters(), lr=0.1)  # type: ignore[index]
    update = update_vector(problem, optimizer)
    torch.testing.assert_close(update[:20], -0.1 * problem.gradient()[:20])
    assert not update[20:].any()
    part = problem.restrict("0.weight")
    torch.testing.assert_close(update_vector(part, optimizer), -0.1 * part.gradient())
    with pytest.raises(ValueError, match="the SGD holds none of the parameters of problem 'Sequential'"):
        update_vector(problem.restrict("2.*"), optimizer)


def test_half_precision_reports_the_rounded_change() -> None:
    problem = small_problem(torch.bfloat16)
    optimizer = SGD(problem.model.parameters(), lr=0.1)
    before, expected = problem.parameters_vector(), update_vector(problem, optimizer)
    for parameter, part in zip(
        problem.model.parameters(), problem.as_parameters(problem.gradient()).values(), strict=True
    ):
        parameter.grad = part
    optimizer.step()
    assert torch.equal(problem.parameters_vector() - before, expected)


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"optimizer is a Sequential, not a torch\.optim\.Optimizer"):
        update_vector(small_problem(), nn.Sequential())  # type: ignore[arg-type]


def test_a_scaled_step_ends_on_the_way() -> None:
    problem = small_problem()
    optimizer = SGD(problem.model.parameters(), lr=0.1)
    before, whole = problem.parameters_vector(), update_vector(problem, optimizer)
    for part, parameter in zip(
        problem.as_parameters(problem.gradient()).values(), problem.model.parameters(), strict=True
    ):
        parameter.grad = part
    step = take_step(optimizer)
    assert length(step.update) == pytest.approx(whole.norm().item(), rel=1e-12)
    after = problem.parameters_vector()
    for scale, expected in ((0, before), (1, after)):
        scale_step(optimizer, step, scale)
        assert torch.equal(problem.parameters_vector(), expected)
    scale_step(optimizer, step, 0.25)
    torch.testing.assert_close(problem.parameters_vector(), before + 0.25 * whole, rtol=1e-14, atol=0)


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        for left, right in zip(found, expected, strict=True):
            assert_same(left, right)
    else:
        assert found == expected


def test_distances_are_not_rounded_to_the_parameters_precision() -> None:
    old = [torch.tensor([1.0], dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float64)]
    new = [torch.tensor([2.0**-9], dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float64)]
    assert distance(old, new) == 1 - 2**-9  # in bfloat16 this is 1
    assert distance([], []) == 0


def test_what_is_finite() -> None:
    fine, bad = torch.ones(2), torch.tensor([1.0, -torch.inf])
    assert are_finite([])
    assert are_finite([fine, fine.to_sparse()])
    assert not are_finite([fine, bad])
    assert not are_finite([bad.to_sparse()])
