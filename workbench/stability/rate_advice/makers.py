"""``find_maker``: what makes an optimizer from parameters and a learning rate, as it is named or given."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from workbench.choices import check_choice, check_number
from workbench.problem import Problem

MakeOptimizer = Callable[[Iterable[Tensor], float], Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda parameters, rate: SGD(parameters, lr=rate),
    "momentum": lambda parameters, rate: SGD(parameters, lr=rate, momentum=0.9),
    "adam": lambda parameters, rate: Adam(parameters, lr=rate),
}
_NOT_SETTINGS = ("params", "param_names", "lr")  # of what a group holds


class Maker(NamedTuple):
    """What makes an optimizer.

    Attributes
    ----------
    name : str
        Of the optimizer.
    make : callable
        ``make(parameters, rate)`` returns one.
    today : float or None
        Learning rate of the optimizer that was given; None if none was.
    """

    name: str
    make: MakeOptimizer
    today: float | None = None


def find_maker(problem: Problem, optimizer: str | MakeOptimizer | Optimizer) -> Maker:
    """Return what makes optimizers like this one for the problem's parameters.

    One's own function never has the name of a known one.

    Raises
    ------
    ValueError, TypeError
        If it is neither a known name, nor a function, nor an optimizer of the problem's parameters.
    """
    if isinstance(optimizer, Optimizer):
        return remake_optimizer(problem, optimizer)
    if callable(optimizer):
        name = getattr(optimizer, "__name__", type(optimizer).__name__)
        return Maker(f"{name} (own)" if name in OPTIMIZERS else name, optimizer)
    check_choice("optimizer", optimizer, tuple(OPTIMIZERS))
    return Maker(optimizer, OPTIMIZERS[optimizer])


def remake_optimizer(problem: Problem, optimizer: Optimizer) -> Maker:
    """Return what makes fresh optimizers of this class with these settings, at any learning rate.

    Groups stay apart, each with its own settings: ``rate`` is that of the group with the largest one, and the
    others keep their ratios to it; if all are 0, as where a warm-up begins, what the schedule multiplies
    counts (``initial_lr``). What the optimizer has remembered so far, such as momenta, is left behind, and
    parameters that it does not hold are left alone.

    Parameters
    ----------
    problem : Problem
    optimizer : Optimizer
        Of parameters of the problem's model, made as ``type(optimizer)(groups, **settings)``. Of settings it
        has what its groups and its ``defaults`` hold, as torch's own do.

    Returns
    -------
    Maker
        Its ``make`` takes as many parameters as the problem has, in their order.

    Raises
    ------
    ValueError
        If it holds none of the problem's parameters, or its largest learning rate is not positive.
    TypeError
        If it cannot be made from its settings.
    """
    kind, groups = type(optimizer), optimizer.param_groups
    if not all("lr" in group for group in groups):
        raise ValueError(f"the {kind.__name__} has no learning rate: its groups hold no 'lr'")
    places = {id(problem.model.get_parameter(part.name)): at for at, part in enumerate(problem.layout)}
    held = [[places[id(p)] for p in group["params"] if id(p) in places] for group in groups]
    if not any(held):
        raise ValueError(
            f"the {kind.__name__} holds none of the parameters of problem {problem.name!r}: was it made for "
            "another model?"
        )
    rates = [float(group["lr"]) for group in groups]
    if not any(rates):  # as at the first step of a warm-up: what its schedule multiplies
        rates = [float(group.get("initial_lr", 0)) for group in groups]
    today = max(rate for rate, chosen in zip(rates, held, strict=True) if chosen)
    check_number(f"largest learning rate of the {kind.__name__}", today, above=0, below=math.inf)
    settings = [{key: group[key] for key in group if key not in _NOT_SETTINGS} for group in groups]
    taken = inspect.signature(kind).parameters
    defaults = {key: value for key, value in optimizer.defaults.items() if key in taken}

    def make(parameters: Iterable[Tensor], rate: float) -> Optimizer:
        given = list(parameters)
        fresh: list[dict[str, Any]] = [
            {**known, "params": [given[place] for place in chosen], "lr": rate * own / today}
            for known, chosen, own in zip(settings, held, rates, strict=True)
            if chosen
        ]
        return kind(fresh, **defaults)

    try:
        make(problem.leaves().values(), today)
    except TypeError as error:
        raise TypeError(
            f"another {kind.__name__} cannot be made from the settings of this one ({error}): pass a "
            "function (parameters, rate) that makes one"
        ) from error
    return Maker(kind.__name__, make, today)
