r"""What a search may accept: the extreme and the progressive barrier, as one rule.

The violation of a point is :math:`h = \sum_j \max(c_j, 0)^2`. Points with more than a limit are refused. With
the limit at 0, only feasible points count: the extreme barrier. The progressive one starts from any limit.
While no feasible point is known, the violation is minimised; then an infeasible point that promises more is
kept beside the best feasible one, and the limit falls to the violation of each such point.

Source: Audet and Dennis, "A progressive barrier for derivative-free nonlinear programming", SIAM J. Optim.
20 (2009), simplified: a required increase in place of a mesh, full polls around both incumbents, and the
violation first. The code of Bouchet and Vidal has neither: it subtracts the violation from the goal.
"""

import dataclasses

import torch
from torch import Tensor

from workbench.particles.attacks.surrogates import Evaluation

BARRIERS = ("extreme", "progressive")


@dataclasses.dataclass(frozen=True)
class Incumbent:
    """A point (dim,) that is searched around, with its goal and violation."""

    point: Tensor
    goal: float
    violation: float


@dataclasses.dataclass(frozen=True)
class Barrier:
    """Incumbents and the limit of the violation.

    Attributes
    ----------
    feasible, infeasible : Incumbent, optional
        The best feasible point, and an infeasible one whose goal is higher; one of them is there.
    limit : float
        The largest violation that is looked at.
    """

    feasible: Incumbent | None
    infeasible: Incumbent | None
    limit: float

    @property
    def centre(self) -> Incumbent:
        """What the search is around: the feasible point as soon as there is one."""
        found = self.feasible or self.infeasible
        assert found is not None  # one of them is there
        return found

    @property
    def centres(self) -> tuple[Incumbent, ...]:
        """All that are polled around."""
        return tuple(each for each in (self.feasible, self.infeasible) if each is not None)

    def successes(self, found: Evaluation, increase: float) -> Tensor:
        """Which points (n,) are better than what there is, by more than ``increase``.

        A feasible point is better than the feasible incumbent by its goal, and than none at all; while there
        is none, an infeasible point is better by its violation.
        """
        feasible = (found.violation == 0) & found.goal.isfinite()
        if self.feasible is not None:
            return feasible & (found.goal > self.feasible.goal + increase)
        less = found.violation < self.centre.violation - increase
        return feasible | (less & found.goal.isfinite())

    def accept(self, points: Tensor, found: Evaluation, place: int) -> "Barrier":
        """The barrier after the success at this place."""
        taken = _incumbent(points, found, place)
        if taken.violation > 0:
            return Barrier(None, taken, taken.violation)
        return Barrier(taken, self._promising(self.infeasible, taken), self.limit)

    def improve(self, points: Tensor, found: Evaluation, increase: float) -> "Barrier | None":
        """The barrier with another infeasible incumbent beside the feasible one; None if no point is fit.

        Fit is what promises more than the feasible incumbent with less violation than the infeasible one, or
        within the limit while there is none; of several, the highest goal.
        """
        if self.feasible is None:
            return None
        known = self.infeasible
        fits = (found.violation > 0) & (found.goal > self.feasible.goal + increase)
        fits &= found.violation < known.violation if known is not None else found.violation <= self.limit
        if not fits.any():
            return None
        best = int(torch.where(fits, found.goal, -torch.inf).argmax())
        taken = _incumbent(points, found, best)
        return Barrier(self.feasible, taken, taken.violation)

    @staticmethod
    def _promising(infeasible: Incumbent | None, feasible: Incumbent) -> Incumbent | None:
        """An infeasible incumbent is kept while its goal is the higher one."""
        return infeasible if infeasible is not None and infeasible.goal > feasible.goal else None


def first_barrier(start: Tensor, found: Evaluation, kind: str) -> Barrier:
    """The barrier at a start (dim,) that was evaluated as a batch of its own.

    Raises
    ------
    ValueError
        If the goal is not finite there, or the start is infeasible behind an extreme barrier.
    """
    here = _incumbent(start[None], found, 0)
    if here.goal == -torch.inf or here.violation == torch.inf:
        raise ValueError("the goal or a constraint is not finite at the start")
    if here.violation == 0:
        return Barrier(here, None, 0.0 if kind == "extreme" else torch.inf)
    if kind == "extreme":
        raise ValueError(
            f"the start violates its constraints (by {here.violation:.3g}): an extreme barrier needs a "
            "feasible start, use barrier='progressive'"
        )
    return Barrier(None, here, here.violation)


def _incumbent(points: Tensor, found: Evaluation, place: int) -> Incumbent:
    return Incumbent(points[place], float(found.goal[place]), float(found.violation[place]))
