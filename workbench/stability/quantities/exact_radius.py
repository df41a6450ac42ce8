"""``ExactRadiusAhead``: the distance itself that the recorded bounds are below."""

import math
import time
from collections.abc import Callable
from typing import Any

from workbench.batches import count_examples
from workbench.moment import Moment, Quantity, Reading, norm
from workbench.problem import Problem
from workbench.stability.radii import logit_radius
from workbench.stability.scales import radii_along
from workbench.stability.slopes import logits_and_slopes

_TIMED = 32  # rows that the solver is timed with, as many as it is given at once


class ExactRadiusAhead(Quantity):
    """Distance of the nearest complex zero along the update, with linearised logits; all examples count.

    The part ``"r"`` is the length of the update over it, ``"certified"`` is 1 where the distance is proven to
    be that of the nearest zero. Where it is 0, the error is nan: the majority bound stands in for the
    distance, below which there is no zero all the same. inf, and r is 0, for a step that went nowhere.

    Cost: one product with the Jacobian, about a gradient, and the solver, which is asked about each example
    whose bound is below the least distance found: a few of confident ones, most of them early in training.
    The cost declared is for all of them, from the solver's seconds for some of them and those of a gradient,
    so it is a machine's own. Logits and slopes of all examples are held in memory.

    Source: Sao, "Ghosts of Softmax" (arXiv 2603.13552), proposition 4.2; see :func:`minimum_radius`.
    """

    name = "exact_radius"

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a problem whose outputs are no logits, and time a gradient and the solver."""
        batch, _ = next(iter(problem.batches()))
        logits, slopes = next(iter(logits_and_slopes(problem, problem.parameters_vector())))
        rows = problem.num_examples * len(logits) / count_examples(batch)
        some = slice(0, _TIMED)
        solving = _seconds(lambda: logit_radius(logits[some], slopes[some], "exact")) / len(logits[some])
        self.cost = 1 + rows * solving / _seconds(problem.gradient)

    def measure(self, moment: Moment) -> dict[str, Reading]:
        """Return the distance, the ratio, and whether it is certified."""
        length = norm(moment.update)
        radius, certified = math.inf, True
        if length > 0:
            radii = radii_along(moment.problem, (moment.update.double() / length).to(moment.update.dtype))
            radius, certified = radii.exact, radii.certified
        error = 0.0 if certified else math.nan
        return {
            "": Reading(radius, error),
            "r": Reading(length / radius, error),
            "certified": Reading(float(certified)),
        }


def _seconds(work: Callable[[], object]) -> float:
    """Time the second of two runs."""
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
