"""``StackedRuns``: many trainings of one network, by SGD, momentum or Adam, as one tensor program."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import grad, vmap

from workbench.choices import check_choice
from workbench.problem import Parameters, Problem
from workbench.random_vectors import generator

OPTIMIZERS = ("sgd", "momentum", "adam")
MOMENTUM = 0.9  # of heavy ball, and Adam's first beta
_BETA2, _EPSILON = 0.999, 1e-8
_TOGETHER = 32  # copies whose loss over all the data is computed at once


class StackedRuns:
    r"""Copies of a network that take one step at a time together, each with its own rate and examples.

    SGD with heavy ball is :math:`m \leftarrow \mu m + g,\ \theta \leftarrow \theta - \eta m`; Adam has the
    usual betas.

    Parameters
    ----------
    problem : Problem
        Its model and loss; the state that it holds does not matter.
    starts : Tensor (c, n)
        Parameter vectors, one for each copy.
    rates : Tensor (c,)
        Learning rates.
    optimizer : {"sgd", "momentum", "adam"}
    momenta : Tensor (c,), optional
        Of heavy ball; 0.9 by default for ``"momentum"``, none for the others.

    Raises
    ------
    ValueError
        If the optimizer is unknown, or a batch of the problem is not (inputs, targets).
    """

    def __init__(
        self,
        problem: Problem,
        starts: Tensor,
        rates: Tensor,
        optimizer: str = "sgd",
        momenta: Tensor | None = None,
    ) -> None:
        check_choice("optimizer", optimizer, OPTIMIZERS)
        self.inputs, self.targets = examples_of(problem)
        self.weights = starts.clone()
        self.rates = rates.to(starts)[:, None]
        self._adam = optimizer == "adam"
        self.momenta = torch.full_like(self.rates, MOMENTUM if optimizer != "sgd" else 0.0)
        if momenta is not None:
            self.momenta = momenta.to(starts)[:, None]
        self._first = torch.zeros_like(starts)
        self._second = torch.zeros_like(starts) if self._adam else None
        self._steps = 0

        def loss(parameters: Parameters, inputs: Tensor, targets: Tensor) -> Tensor:
            return problem.evaluate(parameters, (inputs, targets))[1]

        self._layout = [(part, problem.parameters()[part.name].dtype) for part in problem.layout]
        self._gradients = vmap(grad(loss))
        self._losses = vmap(loss, in_dims=(0, None, None), chunk_size=_TOGETHER)

    def step(self, places: Tensor) -> None:
        """Move every copy by the gradient of its own examples, at places (c, B)."""
        parts = self._gradients(self._parameters(), self.inputs[places], self.targets[places])
        found = torch.cat([parts[part.name].flatten(1).to(self.weights) for part, _ in self._layout], dim=1)
        self._steps += 1
        if self._second is None:
            self._first.mul_(self.momenta).add_(found)
            self.weights.addcmul_(self._first, self.rates, value=-1)
            return
        self._first.lerp_(found, 1 - MOMENTUM)
        self._second.lerp_(found.square(), 1 - _BETA2)
        scale = (self._second / (1 - _BETA2**self._steps)).sqrt_().add_(_EPSILON)
        rates = self.rates / (1 - MOMENTUM**self._steps)
        self.weights.addcdiv_(rates * self._first, scale, value=-1)

    @torch.no_grad()
    def losses(self) -> Tensor:
        """Loss (c,) over all the data; nan or inf of what has diverged. One forward pass for each copy."""
        found: Tensor = self._losses(self._parameters(), self.inputs, self.targets)
        return found.double()

    def _parameters(self) -> Parameters:
        """Each parameter of all copies, a view: the gradient of a vector's slice would be as long as it."""
        count = len(self.weights)
        return {
            part.name: self.weights[:, part.start : part.stop].view(count, *part.shape).to(dtype)
            for part, dtype in self._layout
        }


def examples_of(problem: Problem) -> tuple[Tensor, Tensor]:
    """All inputs and targets of a problem, one example a row.

    Raises
    ------
    ValueError
        If its batches are not pairs of tensors, or its loss does not decompose over examples.
    """
    pairs = [batch for batch, _ in problem.batches()]
    if not problem.can_split or not all(
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(each, Tensor) for each in pair)
        for pair in pairs
    ):
        raise ValueError(f"{problem.name}: stacked runs need batches of (inputs, targets), by example")
    return torch.cat([inputs for inputs, _ in pairs]), torch.cat([targets for _, targets in pairs])


def stacked_starts(problem: Problem | Sequence[Problem], seeds: int) -> tuple[Problem, Tensor]:
    """Return the first problem, and where the runs of each seed start (seeds, n): the problems take turns.

    Raises
    ------
    ValueError
        If there is no problem, or they differ in more than their parameters' values.
    """
    problems = [problem] if isinstance(problem, Problem) else list(problem)
    if not problems:
        raise ValueError("problem is empty: name one at least")
    first = problems[0]
    data = examples_of(first)
    for other in problems[1:]:
        if other.layout != first.layout:
            raise ValueError(f"{other.name} has other parameters than {first.name}: they must be one network")
        if not all(map(torch.equal, examples_of(other), data)):
            raise ValueError(f"{other.name} holds other data than {first.name}: all runs train on the same")
    vectors = [each.parameters_vector() for each in problems]
    return first, torch.stack([vectors[run % len(vectors)] for run in range(seeds)])


def batch_orders(examples: int, size: int, steps: int, seeds: Sequence[int]) -> Tensor:
    """Places (seeds, T, B) of the examples in each batch, drawn without replacement and anew at each step."""
    places = torch.empty(len(seeds), steps, size, dtype=torch.long)
    for rows, seed in zip(places, seeds, strict=True):
        random = generator(seed)
        for row in rows:  # one at a time: draws for all steps would be as large as all the data at each
            row.copy_(torch.rand(examples, generator=random).topk(size).indices)
    return places
