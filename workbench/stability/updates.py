"""``update_vector``: what an optimiser would do now, with nothing changed afterwards."""

import copy
import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.problem import Problem

Closure = Callable[[], Any]


class Step(NamedTuple):
    """A step that an optimiser took, parameter by parameter in the order of its groups.

    Attributes
    ----------
    before, after : list of Tensor
        Copies of the values before the step and after it.
    loss : object
        What the optimiser returned: the closure's loss, or None.
    """

    before: list[Tensor]
    after: list[Tensor]
    loss: Any

    @property
    def update(self) -> list[Tensor]:
        """What the step added to each parameter, in its dtype; not finite if the step was not."""
        return [new - old for new, old in zip(self.after, self.before, strict=True)]


def update_vector(problem: Problem, optimizer: Optimizer) -> Tensor:
    """Return the update that this optimizer would make now from the gradient of the problem.

    The optimizer takes its real step, with its momenta, preconditioners, decay of weights and learning rates
    as they are; then parameters, gradients and all that the optimizer holds are put back, bit by bit.

    Parameters
    ----------
    problem : Problem
        Its gradient is that of its loss over all of its data. Its model is in the mode for analysis.
    optimizer : Optimizer
        Any of torch's or your own that keeps what it knows in ``state``, in ``param_groups`` and in plain
        attributes, and works on parameters of the problem's model. Those that the problem does not select
        have no gradient.

    Returns
    -------
    Tensor (n,)
        The change of each parameter, in the problem's dtype; 0 where the optimizer does not hold it.

    Raises
    ------
    TypeError
        If ``optimizer`` is no ``torch.optim.Optimizer``.
    ValueError
        If it holds none of the problem's parameters.

    Notes
    -----
    Cost: one gradient, and copies of the parameters and the optimizer's state. An optimizer that needs a
    closure (LBFGS) pays one gradient and one forward pass more for every call of it.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}, not a torch.optim.Optimizer")
    selected = {part.name: problem.model.get_parameter(part.name) for part in problem.layout}
    held = {id(parameter) for parameter in parameters_of(optimizer)}
    if not any(id(parameter) in held for parameter in selected.values()):
        raise ValueError(
            f"the {type(optimizer).__name__} holds none of the parameters of problem {problem.name!r}: "
            "was it made for another model?"
        )

    def load_gradient() -> None:
        gradient = problem.as_parameters(problem.gradient())
        for name, parameter in selected.items():
            parameter.grad = gradient[name]

    def evaluate() -> float:
        load_gradient()
        return problem.loss_at()

    with put_back(optimizer, selected.values()):
        load_gradient()
        step = take_step(optimizer, evaluate if needs_closure(optimizer) else None)
        changes = {id(p): change for p, change in zip(parameters_of(optimizer), step.update, strict=True)}
    return torch.cat(
        [
            changes.get(id(parameter), torch.zeros_like(parameter)).reshape(-1).to(problem.dtype)
            for parameter in selected.values()
        ]
    )


def take_step(optimizer: Optimizer, closure: Closure | None = None) -> Step:
    """Let the optimizer take its step, and learn what it changed. Costs two copies of the parameters."""
    before = [parameter.detach().clone() for parameter in parameters_of(optimizer)]
    loss = optimizer.step() if closure is None else optimizer.step(closure)
    return Step(before, [parameter.detach().clone() for parameter in parameters_of(optimizer)], loss)


@torch.no_grad()
def scale_step(optimizer: Optimizer, step: Step, scale: float) -> None:
    """Leave the parameters where this part of the step leads; the optimizer's state stays as it is.

    They are those before the step for 0 and those after it for 1, bit by bit.
    """
    for parameter, old, new in zip(parameters_of(optimizer), step.before, step.after, strict=True):
        if scale in (0, 1):
            parameter.copy_(new if scale else old)
        else:
            parameter.copy_(torch.add(old, new - old, alpha=scale))


def distance(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Distance between two places, with the differences in float64, too."""
    pairs = zip(left, right, strict=True)
    return math.hypot(*(float(torch.linalg.vector_norm(difference(*pair))) for pair in pairs))


def difference(old: Tensor, new: Tensor) -> Tensor:
    """What was added, in float64: in the parameters' own precision it would be rounded."""
    dtype = torch.promote_types(old.dtype, torch.float64)  # complex parameters stay complex
    return new.detach().to(dtype) - old.detach().to(dtype)


def length(parts: list[Tensor]) -> float:
    """Length of a vector over all parameters, accumulated in float64."""
    return math.hypot(*(float(torch.linalg.vector_norm(part, dtype=torch.float64)) for part in parts))


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """Parameters of all groups, in order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def are_finite(gradients: Iterable[Tensor]) -> bool:
    """Whether all values are finite; of sparse gradients, all that are stored."""
    stored = (each.coalesce().values() if each.is_sparse else each for each in gradients)
    return all(bool(values.isfinite().all()) for values in stored)


def needs_closure(optimizer: Optimizer) -> bool:
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


@contextmanager
def put_back(optimizer: Optimizer, more: Iterable[Tensor] = ()) -> Iterator[None]:
    """Put back what a step changes: values and gradients of parameters, and all that the optimizer holds.

    Inside, the optimizer works on copies of its state and groups, so that afterwards the originals are the
    same objects with the same bits: whoever holds one of them, such as a scheduler, sees no difference.
    Gradients of parameters are None at first.
    """
    parameters = list({id(p): p for p in [*parameters_of(optimizer), *more]}.values())
    values = [parameter.detach().clone() for parameter in parameters]
    gradients = [parameter.grad for parameter in parameters]
    attributes = dict(vars(optimizer))
    state, groups = optimizer.state, optimizer.param_groups
    try:
        for parameter in parameters:
            parameter.grad = None
        optimizer.state = defaultdict(dict, {p: copy.deepcopy(known) for p, known in state.items()})
        optimizer.param_groups = [_copy_group(group) for group in groups]
        yield
    finally:
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
        optimizer.state, optimizer.param_groups = state, groups
        with torch.no_grad():
            for parameter, value, gradient in zip(parameters, values, gradients, strict=True):
                parameter.copy_(value)
                parameter.grad = gradient


def _copy_group(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value if key == "params" else copy.deepcopy(value) for key, value in group.items()}
