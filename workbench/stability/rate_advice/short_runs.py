"""``ShortRuns``: trainings of a problem for a few steps, of which the end is looked at."""

import math
import time

import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.batches import Batch, count_examples, slice_batch
from workbench.choices import check_count
from workbench.held_model import HeldModel
from workbench.minibatches import draw_batches, join_examples
from workbench.problem import Parameters, Problem
from workbench.progress import still_at_work
from workbench.random_vectors import generator
from workbench.stability.rate_advice.makers import MakeOptimizer
from workbench.stability.updates import needs_closure

_TURN = 0.05  # seconds that a run holds the model: others, such as an explorer's controls, may read it then
_SAMPLE_SEED = 2**40  # not one that minibatches are drawn by


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
    examples : int, optional
        That the loss at the end is measured on, the same random ones each time; by default, and if
        there are fewer, all.

    Attributes
    ----------
    judged : Problem
        On these examples, in batches as large as the problem's.

    Raises
    ------
    ValueError
        If examples cannot be taken out of the problem's batches, these cannot be joined, or there are fewer
        than a batch's.
    TypeError
        If what is made is no optimizer of torch's kind, or one whose step needs a closure.
    """

    def __init__(
        self,
        problem: Problem,
        optimizer: MakeOptimizer,
        batch_size: int,
        steps: int,
        examples: int | None = None,
    ) -> None:
        check_count("steps", steps)
        check_count("batch_size", batch_size, 1, problem.num_examples)
        if examples is not None:
            check_count("examples", examples)
        if not problem.can_split:
            raise ValueError(
                f"{problem.name}: minibatches need a loss that is made of those of examples, not one "
                f"weighted by {problem.weighting.rule}"
            )
        self._joined = join_examples(problem)
        self.problem, self.batch_size, self.steps = problem, batch_size, steps
        if examples is None or examples >= count_examples(self._joined):
            self.judged = problem
        else:
            self.judged = self._sample(examples)
        self._make = optimizer
        self._steps_made = self._ends = 0
        self._optimizer(list(problem.leaves().values()), 1.0)

    @property
    def gradients(self) -> float:
        """Cost so far in gradients over the data; a loss at the end counts as a third of a gradient."""
        return self._cost(self._steps_made, self._ends)

    @property
    def gradients_each(self) -> float:
        """Cost of a run that does not diverge."""
        return self._cost(self.steps, 1)

    @torch.inference_mode(False)
    def final_loss(self, rate: float, seed: int) -> float:
        """Return the loss after a run with this learning rate; inf if it is not finite.

        The seed draws the minibatches.
        """
        parameters = {
            name: value.clone().requires_grad_() for name, value in self.problem.parameters().items()
        }
        optimizer = self._optimizer(list(parameters.values()), rate)
        batches = draw_batches(self._joined, self.batch_size, self.steps, seed)
        left = self.steps

        def train(model: HeldModel) -> bool:
            nonlocal left
            ends = time.monotonic() + _TURN
            while left:
                left -= 1
                if not self._step(model, parameters, optimizer, next(batches)):
                    return False
                if time.monotonic() > ends:
                    break
            return True

        with torch.enable_grad():
            while left:
                still_at_work()
                if not self.problem.hold(parameters, train):
                    return math.inf
        self._ends += 1
        with torch.no_grad():
            theta = torch.cat([value.reshape(-1).to(self.problem.dtype) for value in parameters.values()])
        value = self.judged.loss_at(theta)
        return value if math.isfinite(value) else math.inf

    def _step(self, model: HeldModel, parameters: Parameters, optimizer: Optimizer, batch: Batch) -> bool:
        """Train on one batch; returns whether its loss is finite, or over nothing."""
        optimizer.zero_grad()
        loss = self._regularized(model.loss(batch), parameters, optimizer)
        if not math.isfinite(loss.item()):
            # Weight 0, e.g. all targets ignored: its mean is 0 / 0, and no step is made.
            return not self.problem.weighting.weigh(batch, self.problem.batch_targets(batch))
        model.backward(loss)
        optimizer.step()
        self._steps_made += 1
        return True

    def _regularized(self, loss: Tensor, parameters: Parameters, optimizer: Optimizer) -> Tensor:
        """Add regulariser and weight decay of the problem, the latter where the optimizer has none itself."""
        problem = self.problem
        if problem.weight_decay and not any(group.get("weight_decay") for group in optimizer.param_groups):
            return loss + problem.regularization(parameters)
        return loss if problem.regularizer is None else loss + problem.regularizer(parameters)

    def _cost(self, steps: int, ends: int) -> float:
        seen = steps * self.batch_size + ends * self.judged.num_examples / 3
        return seen / self.problem.num_examples

    def _sample(self, examples: int) -> Problem:
        count = count_examples(self._joined)
        chosen = torch.randperm(count, generator=generator(_SAMPLE_SEED))[:examples].to(self.problem.device)
        largest = max(count_examples(batch) for batch, _ in self.problem.batches())
        return self.problem.with_data(
            [slice_batch(self._joined, count, part) for part in chosen.split(largest)]
        )

    def _optimizer(self, parameters: list[Tensor], rate: float) -> Optimizer:
        optimizer = self._make(parameters, rate)
        kind = type(optimizer).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer(parameters, rate) returned a {kind}, not a torch.optim.Optimizer")
        if needs_closure(optimizer):
            raise TypeError(f"{kind} needs a closure in each step: name another optimizer")
        return optimizer
