"""``shape``: the usual schedules of a learning rate, as factors of its largest value."""

import numpy as np

from workbench.choices import check_choice, check_count

SHAPES = ("constant", "1/sqrt(t)", "cosine", "linear")


def shape(name: str, steps: int) -> np.ndarray:
    r"""Return the factors (steps,) of a schedule, 1 at its largest.

    With T steps, step t = 1, …, T has the factor 1 (``"constant"``), :math:`1/\sqrt t`,
    :math:`\frac12(1 + \cos(\pi s))` (``"cosine"``) or :math:`1 - s` (``"linear"``), where
    :math:`s = (t - 1)/(T - 1)`: the last two end at 0, as a refined schedule does.

    Raises
    ------
    TypeError, ValueError
        If the name is unknown, or there are not at least 2 steps.
    """
    check_choice("schedule", name, SHAPES)
    check_count("steps", steps, low=2)
    if name == "constant":
        return np.ones(steps)
    if name == "1/sqrt(t)":
        return 1 / np.sqrt(np.arange(1, steps + 1))
    left = np.arange(steps - 1, -1, -1) / (steps - 1)
    return left if name == "linear" else (1 - np.cos(np.pi * left)) / 2
