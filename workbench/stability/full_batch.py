"""Training with the gradient over all data of a problem, step by step."""

import torch

from workbench.checkpoints import read_state
from workbench.problem import Problem

MOMENTUM = 0.9


def begin_training(problem: Problem) -> Problem:
    """Return the problem on a copy of its model, at its first checkpoint if there is one."""
    states = list(problem.checkpoints.values())
    return problem.at(read_state(states[0]) if states else problem.model.state_dict())


def make_optimizer(problem: Problem, name: str, learning_rate: float) -> torch.optim.Optimizer:
    """Make an optimizer for the model of a problem: ``"sgd"``, ``"momentum"`` (0.9) or ``"adam"``."""
    parameters = list(problem.model.parameters())
    if name == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate)
    return torch.optim.SGD(parameters, lr=learning_rate, momentum=MOMENTUM if name == "momentum" else 0.0)


def step_on_all_data(problem: Problem, optimizer: torch.optim.Optimizer) -> bool:
    """Take a step with the gradient over all data; False, and no step, if that is not finite."""
    gradient = problem.gradient()
    if not gradient.isfinite().all():
        return False
    held = dict(problem.model.named_parameters())
    for name, part in problem.as_parameters(gradient).items():
        held[name].grad = part
    optimizer.step()
    return True
