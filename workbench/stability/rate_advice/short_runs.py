"""``ShortRuns``: trainings of a problem for a few steps, of which the end is looked at."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.batches import concatenate, count_examples, slice_batch
from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.progress import still_at_work
from workbench.random_vectors import generator

MakeOptimizer = Callable[[Iterable[Tensor], float], Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
}


def find_optimizer(optimizer: str | MakeOptimizer) -> tuple[str, MakeOptimizer]:
    """Return an optimizer's name, and what makes it from parameters and a learning rate.

    Raises
    ------
    ValueError, TypeError
        If it is neither a known name nor callable.
    """
    if callable(optimizer):
        return getattr(optimizer, "__name__", type(optimizer).__name__), optimizer
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
    """

    def __init__(self, problem: Problem, optimizer: MakeOptimizer, batch_size: int, steps: int) -> None:
        check_count("steps", steps)
        check_count("batch_size", batch_size, 1, problem.num_examples)
        if not problem.can_split:
            raise ValueError(
                f"{problem.name}: minibatches need a loss that is made of those of examples, not one "
                f"weighted by {problem.weighting.rule}"
            )
        self.problem, self.batch_size, self.steps = problem, batch_size, steps
        self._optimizer = optimizer
        self._data = concatenate([batch for batch, _ in problem.batches()])
        self.runs = 0

    @property
    def gradients(self) -> float:
        """Cost so far in gradients over the data; the loss at the end counts as a third of one."""
        return self.runs * (self.steps * self.batch_size / self.problem.num_examples + 1 / 3)

    @torch.inference_mode(False)
    def final_loss(self, rate: float, seed: int) -> float:
        """Return the loss over the data after a run with this learning rate; inf if it is not finite.

        The seed draws the minibatches.
        """
        self.runs += 1
        random = generator(seed)
        examples = count_examples(self._data)
        parameters = {
            name: value.clone().requires_grad_() for name, value in self.problem.parameters().items()
        }
        optimizer = self._optimizer(list(parameters.values()), rate)
        with torch.enable_grad():
            for _ in range(self.steps):
                still_at_work()
                places = torch.randperm(examples, generator=random)[: self.batch_size]
                batch = slice_batch(self._data, examples, places.to(self.problem.device))
                optimizer.zero_grad()
                loss = self.problem.evaluate(parameters, batch)[1] + self.problem.regularization(parameters)
                if not bool(loss.isfinite()):
                    return math.inf
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            theta = torch.cat([value.reshape(-1).to(self.problem.dtype) for value in parameters.values()])
        value = self.problem.loss_at(theta)
        return value if math.isfinite(value) else math.inf
