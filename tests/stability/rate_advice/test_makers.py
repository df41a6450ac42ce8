"""Optimizers that are made again, against the ones that they are made from."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.stability.rate_advice import remake_optimizer
from workbench.stability.rate_advice.makers import find_maker


def two_layers() -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(8, 3), torch.arange(8) % 2))


def after_steps(parameters: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
    """Where three steps down the sum of fourth powers lead."""
    for _ in range(3):
        optimizer.zero_grad()
        sum(p.pow(4).sum() for p in parameters).backward()  # type: ignore[union-attr]
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def copies(problem: wb.Problem) -> list[Tensor]:
    return [value.clone().requires_grad_() for value in problem.parameters().values()]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.7, "nesterov": True, "weight_decay": 0.3}),
        (torch.optim.AdamW, {"lr": 0.02, "betas": (0.5, 0.9), "weight_decay": 0.4, "amsgrad": True}),
        (torch.optim.RMSprop, {"lr": 0.02, "alpha": 0.6, "centered": True}),
        (torch.optim.Rprop, {"lr": 0.02, "etas": (0.4, 1.3)}),
    ],
)
def test_another_takes_the_same_steps(kind: Any, settings: dict[str, Any]) -> None:
    problem = two_layers()
    optimizer = kind(problem.model.parameters(), **settings)
    own = copies(problem)
    optimizer_of_own = kind(own, **{**settings, "lr": 3 * settings["lr"]})
    maker = remake_optimizer(problem, optimizer)
    fresh = copies(problem)
    made = maker.make(fresh, 3 * settings["lr"])
    assert torch.equal(after_steps(fresh, made), after_steps(own, optimizer_of_own))
    assert (maker.name, maker.today) == (kind.__name__, settings["lr"])
    assert not optimizer.state


def test_groups_keep_their_settings_and_the_ratios_of_their_rates() -> None:
    problem = two_layers()
    layers = [problem.model[0], problem.model[2]]
    optimizer = torch.optim.SGD(
        [
            {"params": list(layers[1].named_parameters()), "lr": 0.1, "momentum": 0.5},
            {"params": [("weight", layers[0].weight)], "lr": 0.4},
        ],
        lr=7.0,
    )
    maker = remake_optimizer(problem, optimizer)
    assert maker.today == 0.4
    fresh = copies(problem)
    groups = maker.make(fresh, 2.0).param_groups
    assert [group["lr"] for group in groups] == [0.5, 2.0]
    assert [group["momentum"] for group in groups] == [0.5, 0]
    assert [id(p) for group in groups for p in group["params"]] == [id(fresh[at]) for at in (2, 3, 0)]


def test_groups_without_a_parameter_of_the_problem_are_left_out() -> None:
    problem = two_layers().restrict("2.*")
    optimizer = torch.optim.SGD(
        [{"params": problem.model[0].parameters(), "lr": 9.0}, {"params": problem.model[2].parameters()}],
        lr=0.1,
    )
    maker = remake_optimizer(problem, optimizer)
    assert maker.today == 0.1
    assert len(maker.make(copies(problem), 1.0).param_groups) == 1


def test_at_the_start_of_a_warm_up_the_rates_are_those_that_it_leads_to() -> None:
    problem = two_layers()
    groups = [
        {"params": problem.model[0].parameters(), "lr": 0.1},
        {"params": problem.model[2].parameters(), "lr": 0.4},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 10))
    assert optimizer.param_groups[0]["lr"] == 0
    maker = remake_optimizer(problem, optimizer)
    assert maker.today == 0.4
    assert [group["lr"] for group in maker.make(copies(problem), 2.0).param_groups] == [0.5, 2.0]


def test_what_cannot_be_made_again_is_refused() -> None:
    problem = two_layers()
    with pytest.raises(ValueError, match="the SGD holds none of the parameters of problem 'Sequential'"):
        remake_optimizer(problem, torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))
    with pytest.raises(ValueError, match="largest learning rate of the SGD=0"):
        remake_optimizer(problem, torch.optim.SGD(problem.model.parameters(), lr=0.0))

    class Picky(torch.optim.SGD):
        def __init__(self, parameters: Any, secret: int) -> None:
            super().__init__(parameters, lr=0.1 * secret)

    with pytest.raises(TypeError, match=r"another Picky cannot be made .*'secret'.* pass a function"):
        remake_optimizer(problem, Picky(problem.model.parameters(), 2))


def test_names_and_functions_have_no_rate_of_today() -> None:
    problem = two_layers()
    assert find_maker(problem, "adam").today is None

    def adam(parameters: Any, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, rate)

    assert find_maker(problem, adam).name == "adam (own)"
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        find_maker(problem, "adan")
