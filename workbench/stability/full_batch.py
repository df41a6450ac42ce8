"""Training with the gradient over all data of a problem, step by step."""

from collections.abc import Iterator

import torch

from workbench.checkpoints import read_state
from workbench.problem import Problem
from workbench.progress import progress
from workbench.recorder import Recorder
from workbench.stability.quantities import PreconditionedSharpness, Sharpness
from workbench.trace import THRESHOLD

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


def recorded_training(
    problem: Problem,
    learning_rate: float,
    steps: int,
    optimizer: str = "sgd",
    *,
    every: int = 10,
    seed: int = 0,
) -> Iterator[Recorder]:
    """Train a copy from its first checkpoint, and record loss, sharpness and the threshold of stability.

    Parameters
    ----------
    problem : Problem
        Not changed.
    learning_rate : float
    steps : int
        At most; a gradient that is not finite ends the training.
    optimizer : {"sgd", "momentum", "adam"}
        For Adam, the sharpness is that of the Hessian as its preconditioner rescales it.
    every : int
        Steps between measurements.
    seed : int
        Of the search for the sharpness.

    Yields
    ------
    Recorder
        One and the same, before the first step and after each. An interrupt (Ctrl-C) ends the training.
    """
    copy = begin_training(problem)
    stepper = make_optimizer(copy, optimizer, learning_rate)
    kind = PreconditionedSharpness if optimizer == "adam" else Sharpness
    recorder = Recorder(copy, stepper, ["loss", kind(seed=seed), THRESHOLD], every=every)
    yield recorder
    try:
        with progress("training", steps) as advance:
            for _ in range(steps):
                if not step_on_all_data(copy, stepper):
                    break
                recorder.step()
                advance(1)
                yield recorder
    except KeyboardInterrupt:
        pass  # what was recorded is kept
