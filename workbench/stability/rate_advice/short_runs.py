"""``ShortRuns``: trainings of a problem for a few steps, of which the end is looked at."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.choices import check_choice, check_count
from workbench.minibatches import draw_batches, join_examples
from workbench.problem import Problem
from workbench.progress import still_at_work
from workbench.stability.updates import needs_closure

MakeOptimizer = Callable[[Iterable[Tensor], float], Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
}


def find_optimizer(optimizer: str | MakeOptimizer) -> tuple[str, MakeOptimizer]:
    """Return an optimizer's name, and what makes it from parameters and a learning rate.

    One's own never has the name of a known one.

    Raises
    ------
    ValueError, TypeError
        If it is neither a known name nor callable.
    """
    if callable(optimizer):
        name = getattr(optimizer, "__name__", type(optimizer).__name__)
        return f"{name} (own)" if name in OPTIMIZERS else name, optimizer
    check_choice("optimizer", optimizer, tuple(OPTIMIZERS))
    return optimizer, OPTIMIZERS[optimizer]


class ShortRuns:
    """Trainings that start where the problem's model is, which stays as it is.

    Parameters
    ----------
    problem : Problem
        Its model computes as it does in all analyses: in eval mode if that is its mode.
    optimizer : callable
        ``optimizer(parameters, rate)`` makes one.
    batch_size : int
        Examples of a step, drawn without replacement, anew at each step.
    steps : int
        Of each run.

    Raises
    ------
    ValueError
        If examples cannot be taken out of the problem's batches, or there are fewer than a batch's.
    TypeError
        If what is made is no optimizer of torch's kind, or one whose step needs a closure.
    """

    def __init__(self, problem: Problem, optimizer: MakeOptimizer, batch_size: int, steps: int) -> None:
        check_count("steps", steps)
        check_count("batch_size", batch_size, 1, problem.num_examples)
        if not problem.can_split:
            raise ValueError(
                f"{problem.name}: minibatches need a loss that is made of those of examples, not one "
                f"weighted by {problem.weighting.rule}"
            )
        try:
            self._joined = join_examples(problem)
        except RuntimeError as error:
            raise ValueError(
                f"{problem.name}: batches of different shapes cannot be joined: pad them to one"
            ) from error
        self.problem, self.batch_size, self.steps = problem, batch_size, steps
        self._make = optimizer
        self._steps_made = self._ends = 0
        self._optimizer(list(problem.leaves().values()), 1.0)

    @property
    def gradients(self) -> float:
        """Cost so far in gradients over the data; the loss at the end counts as a third of one."""
        return self._steps_made * self.batch_size / self.problem.num_examples + self._ends / 3

    @torch.inference_mode(False)
    def final_loss(self, rate: float, seed: int) -> float:
        """Return the loss over the data after a run with this learning rate; inf if it is not finite.

        The seed draws the minibatches.
        """
        parameters = {
            name: value.clone().requires_grad_() for name, value in self.problem.parameters().items()
        }
        optimizer = self._optimizer(list(parameters.values()), rate)
        with torch.enable_grad():
            for batch in draw_batches(self._joined, self.batch_size, self.steps, seed):
                still_at_work()
                optimizer.zero_grad()
                loss = self.problem.evaluate(parameters, batch)[1] + self.problem.regularization(parameters)
                if not bool(loss.isfinite()):
                    return math.inf
                loss.backward()
                optimizer.step()
                self._steps_made += 1
        self._ends += 1
        with torch.no_grad():
            theta = torch.cat([value.reshape(-1).to(self.problem.dtype) for value in parameters.values()])
        value = self.problem.loss_at(theta)
        return value if math.isfinite(value) else math.inf

    def _optimizer(self, parameters: list[Tensor], rate: float) -> Optimizer:
        optimizer = self._make(parameters, rate)
        kind = type(optimizer).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer(parameters, rate) returned a {kind}, not a torch.optim.Optimizer")
        if needs_closure(optimizer):
            raise TypeError(f"{kind} needs a closure in each step: name another optimizer")
        return optimizer
