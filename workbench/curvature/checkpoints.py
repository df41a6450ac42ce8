"""The checkpoints that an analysis goes along, and the problem at one of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.checkpoints import Checkpoint, label_checkpoints, read_state
from workbench.problem import Problem


def checkpoints_of(
    problem: Problem, checkpoints: Iterable[Checkpoint] | Mapping[Any, Checkpoint] | None
) -> dict[str, Checkpoint]:
    """Return the checkpoints with their labels: by default the problem's own, else what its model holds now.

    Raises
    ------
    ValueError, TypeError
        If those given are none (see :func:`~workbench.checkpoints.label_checkpoints`).
    """
    if checkpoints is not None:
        return label_checkpoints(checkpoints)
    return dict(problem.checkpoints) or {"now": problem.model.state_dict()}


def problem_at(problem: Problem, checkpoint: Checkpoint, label: str) -> Problem:
    """Return the problem on a copy of its model that holds the checkpoint.

    Raises
    ------
    ValueError
        If the checkpoint cannot be read, does not fit the model, or its loss is not finite; with its label.
    """
    try:
        return problem.at(read_state(checkpoint))
    except ValueError as error:
        raise ValueError(f"checkpoint {label!r}: {error}") from error
