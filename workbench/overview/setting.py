"""``Setting``: what an overview is of, as all sections need it."""

import dataclasses
import math
from typing import Any

from torch.optim import Optimizer

from workbench.choices import check_count, check_number
from workbench.problem import Problem
from workbench.stability.rate_advice import Maker, find_maker


@dataclasses.dataclass(frozen=True)
class Setting:
    """A problem, and how it is trained.

    Attributes
    ----------
    problem : Problem
        The examples that are measured on.
    maker : Maker
        What makes optimizers like the user's, and its name.
    given : object
        What was given as one: a name, a function or an optimizer.
    optimizer : Optimizer
        One that holds the parameters of the problem's model: the user's with its state, or a new one.
    rate : float or None
        Today's learning rate, if there is one.
    batch_size : int
    held_out : object
        Data that the model was not trained on, or None.
    update_rate : float
        Learning rate of the optimizer here: today's, or just some one.
    seed : int
    """

    problem: Problem
    maker: Maker
    given: Any
    optimizer: Optimizer
    rate: float | None
    batch_size: int
    held_out: Any
    update_rate: float
    seed: int


_SOME_RATE = 1e-3  # of an optimizer whose learning rate nobody gave: its update is only scaled


def make_setting(
    problem: Problem,
    optimizer: Any,
    learning_rate: float | None,
    batch_size: int,
    held_out: Any,
    seed: int,
) -> Setting:
    """Read what the user says of the training.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or the optimizer is none.
    """
    check_count("batch_size", batch_size)
    check_count("seed", seed, 0)
    if learning_rate is not None:
        check_number("learning_rate", learning_rate, above=0, below=math.inf)
    given = "sgd" if optimizer is None else optimizer
    maker = find_maker(problem, given)
    rate = maker.today
    if isinstance(optimizer, Optimizer):
        if learning_rate is not None:
            raise ValueError(f"learning_rate={learning_rate}: the optimizer has one already")
    else:
        rate = None if learning_rate is None else float(learning_rate)
        own = [problem.model.get_parameter(part.name) for part in problem.layout]
        optimizer = maker.make(own, rate or _SOME_RATE)
    return Setting(
        problem=problem,
        maker=maker,
        given=given,
        optimizer=optimizer,
        rate=rate,
        batch_size=min(batch_size, problem.num_examples),
        held_out=held_out,
        update_rate=rate or _SOME_RATE,
        seed=seed,
    )
