"""``direct_search``: covering, search and poll, with directional attacks as further points of each step."""

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count, check_number
from workbench.particles.attacks.attack_operator import ATTACKS, ascent, attack
from workbench.particles.attacks.barriers import BARRIERS, Barrier, Incumbent, first_barrier
from workbench.particles.attacks.search_path import COUNTS, SearchPath
from workbench.particles.attacks.surrogates import Evaluation, Surrogate
from workbench.particles.attacks.trial_points import points_in_ball, spanning_set
from workbench.particles.objectives import GRADIENT_COST
from workbench.progress import progress
from workbench.random_vectors import generator

_GROWTH = 1.3  # of the attack's radius with each success, its inverse with each failure: the authors' code
_CHOICES = ("first", "best")


def direct_search(
    surrogate: Surrogate,
    attack: str | None = "l2",
    *,
    barrier: str = "extreme",
    evaluations: int = 20_000,
    count: str = "batched",
    choose: str = "first",
    delta: float = 0.25,
    smallest: float = 1e-6,
    reach: float | None = None,
    covering: int = 1,
    forcing: float = 1e-4,
    pgd_steps: int = 10,
    seed: int = 0,
) -> SearchPath:
    r"""Maximise the goal of a surrogate by direct search, with or without attacks (the hybrid).

    A step looks at these points, all in one forward pass, in this order: an attack from the incumbent;
    ``covering`` random points of the ball around it; the last successful step once more; and the poll, 2 dim
    points at distance :math:`\Delta` in the directions of a positive spanning set. A point succeeds if it
    raises the goal by more than ``forcing`` :math:`\Delta^2` (or lowers the violation by as much, while no
    feasible point is known). A success of poll or search doubles :math:`\Delta`, one of attack or covering
    leaves it, a failure halves it.

    Parameters
    ----------
    surrogate : Surrogate
    attack : {"l2", "fgsm", "pgd"} or None
        Which attack; None is the direct search alone.
    barrier : {"extreme", "progressive"}
        Refuse infeasible points, or go through them under a limit that falls.
    evaluations : int
        Budget; a gradient counts as 3. Points beyond it are not looked at.
    count : {"batched", "opportunistic"}
        What the budget is of: all points of a step, or those up to the first success, as a code would spend
        that takes one point at a time.
    choose : {"first", "best"}
        Of several successes of a step, take the first in the order above, or the one with the highest goal
        (the least violation, while no feasible point is known).
    delta, smallest : float
        Distance of poll points at first, and that at which the search ends. The attack's radius starts at
        ``delta``, too; it grows by 1.3 with each success and shrinks by 1.3 otherwise.
    reach : float, optional
        Radius of the ball that is covered; by default ``delta``.
    covering : int
        Points of a step in it.
    forcing : float
        Positive: see Notes.
    pgd_steps : int
        Of a PGD attack.
    seed : int
        Poll and covering draw from one generator, PGD from another: an attack that never succeeds leaves the
        path of the direct search as it is, bit for bit.

    Returns
    -------
    SearchPath
        Its last point is feasible whenever a feasible one was known. An interrupt (Ctrl-C) returns the path
        so far.

    Raises
    ------
    ValueError
        If a choice is unknown, a number out of range, or the start is infeasible behind an extreme barrier.

    Notes
    -----
    Cost: a step is one forward pass of 2 + covering + 2 dim points (two polls beside a promising infeasible
    point), and an attack's gradient where the incumbent has moved; PGD: 10 gradients each step. The row of
    the attack is there in every step: passes have the same shape, and so the same rounding, without attacks.

    What is the paper's (Bouchet and Vidal, arXiv:2510.01461; its abstract was read): attacks in turn with the
    steps of a covering direct search, which has the guarantee. The covering is that of Audet, Bouchet and
    Bourdin, arXiv:2401.07097 (abstract read): with trial points dense around each point that the incumbents
    converge to, that point is a local solution, even of a discontinuous goal; here they are random points,
    dense with probability 1 were the search not to end. From the authors' code: the order of the stages, one
    attack and one covering point a step, Householder directions, the factors 2, 1/2 and 1.3. There, a step is
    opportunistic, an increase of any size is accepted, the search is one random point, and the violation is a
    penalty. Chosen here: one pass a step, the required increase (with which :math:`\Delta \to 0` on a goal
    that is bounded above: Kolda, Lewis and Torczon, SIAM Review 45, 2003), the barriers, the search, attacks
    on the violation while no feasible point is known, and clipping into the box. What is certified at the end
    is that of a smooth problem without constraints; where a limit binds, the poll may miss the cone that is
    left.
    """
    _check(attack, barrier, count, choose)
    check_count("evaluations", evaluations)
    check_count("covering", covering, low=0)
    check_count("pgd_steps", pgd_steps)
    reach = delta if reach is None else reach
    for name, value in {"delta": delta, "smallest": smallest, "reach": reach, "forcing": forcing}.items():
        check_number(name, value, above=0, below=math.inf)
    rules = _Rules(attack, choose, reach, covering, forcing, smallest, pgd_steps)
    start = surrogate.start.detach()
    state = _State(first_barrier(start, surrogate.evaluate(start[None]), barrier), delta, delta)
    draws = _Draws(generator(2 * seed), generator(2 * seed + 1))
    log = _Log()
    log.add("start", state)
    reason = "evaluations"
    try:
        with progress(f"direct search on {surrogate.name}", evaluations) as advance:
            while (before := log.spent(count)) < evaluations:
                state = _step(surrogate, state, rules, draws, log, evaluations, count)
                advance(log.spent(count) - before)
                if state.delta < smallest:
                    reason = "delta"
                    break
    except KeyboardInterrupt:
        reason = "interrupted"
    method = "direct search" if attack is None else f"hybrid ({attack})"
    return log.path(surrogate.name, method, barrier, reason)


@dataclasses.dataclass(frozen=True)
class _Rules:
    """The arguments that a step needs."""

    attack: str | None
    choose: str
    reach: float
    covering: int
    forcing: float
    smallest: float
    pgd_steps: int


@dataclasses.dataclass(frozen=True)
class _State:
    """Where the search is: incumbents, distances, the last success, and the slope at the centre."""

    barrier: Barrier
    delta: float
    radius: float
    last: Tensor | None = None
    slope: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class _Draws:
    """Generators: what an attack draws does not change what the poll draws."""

    poll: torch.Generator
    attack: torch.Generator


@dataclasses.dataclass
class _Log:
    """The path so far, and what it has cost."""

    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    points: list[Tensor] = dataclasses.field(default_factory=list)
    evaluations: int = 1
    opportunistic: int = 1
    passes: int = 1
    gradients: int = 0
    blind: int = 0
    poll_gain: float = math.nan

    def add(self, stage: str, state: _State) -> None:
        """Record the end of a step."""
        here = state.barrier.centre
        self.points.append(here.point.cpu())
        self.records.append(
            {
                "stages": stage,
                "values": here.goal,
                "violations": here.violation,
                "delta": state.delta,
                "radius": state.radius,
                "evaluations": self.evaluations,
                "opportunistic": self.opportunistic,
                "passes": self.passes,
                "gradients": self.gradients,
            }
        )

    def spent(self, count: str) -> int:
        """Evaluations in the count of the budget."""
        counted = self.evaluations if count == "batched" else self.opportunistic
        return counted + GRADIENT_COST * self.gradients

    def path(self, problem: str, method: str, barrier: str, reason: str) -> SearchPath:
        """The whole as a result."""
        columns = {name: [record[name] for record in self.records] for name in self.records[0]}
        stages = tuple(columns.pop("stages"))
        return SearchPath(
            problem=problem,
            method=method,
            barrier=barrier,
            points=torch.stack(self.points),
            stages=stages,
            blind=self.blind,
            poll_gain=self.poll_gain,
            reason=reason,
            interrupted=reason == "interrupted",
            **{name: np.array(column) for name, column in columns.items()},
        )


def _step(
    surrogate: Surrogate, state: _State, rules: _Rules, draws: _Draws, log: _Log, budget: int, count: str
) -> _State:
    """One step: all its points in one forward pass; those beyond the budget are not looked at."""
    struck, slope = _attack(surrogate, state, rules, draws, log, budget - log.spent(count))
    points, stages = _trial_points(surrogate, state, rules, draws, struck)
    real = torch.tensor([stage != "" for stage in stages])
    order = real.cumsum(0)  # of evaluations within the step
    seen = real & (order <= budget - log.spent(count))
    found = _hide(surrogate.evaluate(points), ~seen)
    increase = rules.forcing * state.delta**2
    succeeded = state.barrier.successes(found, increase)
    log.passes += 1
    log.evaluations += int(seen.sum())
    if succeeded.any():
        place = _choose(succeeded, found, rules.choose)
        log.opportunistic += int(order[place] if rules.choose == "first" else seen.sum())
        after = _State(
            barrier=state.barrier.accept(points, found, place),
            delta=state.delta * (2 if stages[place] in ("search", "poll") else 1),
            radius=_next_radius(state.radius, struck, bool(succeeded[0]), rules),
            last=points[place] - state.barrier.centre.point,
        )
        log.add(stages[place], after)
        return after
    log.opportunistic += int(seen.sum())
    after = dataclasses.replace(state, slope=slope, last=None)
    if not torch.equal(seen, real):
        log.add("cut", after)
        return after
    log.poll_gain = _poll_gain(state.barrier.centre, found, stages)
    improved = state.barrier.improve(points, found, increase)
    after = _State(
        barrier=improved or state.barrier,
        delta=state.delta / 2,
        radius=_next_radius(state.radius, struck, False, rules),
        slope=slope,
    )
    log.add("failure" if improved is None else "improving", after)
    return after


def _attack(
    surrogate: Surrogate, state: _State, rules: _Rules, draws: _Draws, log: _Log, left: int
) -> tuple[Tensor | None, Tensor | None]:
    """The attack's step from the centre, if there is one, and the slope there, to be kept while it stays.

    None, too, if what is left of the budget does not pay its gradients and the point itself.
    """
    bought = 0 if state.slope is not None else rules.pgd_steps if rules.attack == "pgd" else 1
    if rules.attack is None or left <= GRADIENT_COST * bought:
        return None, state.slope
    here = state.barrier.centre
    aim = "goal" if here.violation == 0 else "violation"
    slope = state.slope
    if slope is None and rules.attack != "pgd":
        slope = ascent(surrogate, here.point, aim)
        log.gradients += 1
    made = attack(
        surrogate,
        here.point,
        state.radius,
        rules.attack,
        steps=rules.pgd_steps,
        aim=aim,
        slope=slope,
        generator=draws.attack,
    )
    log.gradients += made.gradients
    log.blind += made.step is None
    return made.step, slope


def _trial_points(
    surrogate: Surrogate, state: _State, rules: _Rules, draws: _Draws, struck: Tensor | None
) -> tuple[Tensor, list[str]]:
    """All points of a step (rows, dim) and their stages: "" for a row that is not used, at the centre."""
    centre = state.barrier.centre.point
    nothing = torch.zeros_like(centre)
    ball = rules.reach * points_in_ball(rules.covering, len(centre), draws.poll).to(centre)
    directions = state.delta * spanning_set(len(centre), draws.poll).to(centre)
    steps = [
        (nothing if struck is None else struck)[None],
        ball,
        (nothing if state.last is None else state.last)[None],
    ]
    rows = [centre + step for step in steps] + [each.point + directions for each in state.barrier.centres]
    stages = [
        "" if struck is None else "attack",
        *["covering"] * rules.covering,
        "" if state.last is None else "search",
        *["poll"] * (len(directions) * len(state.barrier.centres)),
    ]
    return surrogate.clipped(torch.cat(rows)), stages


def _hide(found: Evaluation, hidden: Tensor) -> Evaluation:
    """The evaluation with some points as ones that can never be accepted."""
    return Evaluation(
        found.goal.masked_fill(hidden, -math.inf), found.violation.masked_fill(hidden, math.inf)
    )


def _choose(succeeded: Tensor, found: Evaluation, choose: str) -> int:
    """The place of the success that is taken: the first, the highest goal, or the least violation."""
    if choose == "first":
        return int(succeeded.int().argmax())
    feasible = succeeded & (found.violation == 0)
    if feasible.any():
        return int(found.goal.masked_fill(~feasible, -math.inf).argmax())
    return int(found.violation.masked_fill(~succeeded, math.inf).argmin())


def _next_radius(radius: float, struck: Tensor | None, succeeded: bool, rules: _Rules) -> float:
    """The attack's radius after a step; that of an attack that was not made stays."""
    if struck is None:
        return radius
    return radius * _GROWTH if succeeded else max(radius / _GROWTH, rules.smallest)


def _poll_gain(centre: Incumbent, found: Evaluation, stages: list[str]) -> float:
    """How far the best feasible poll point is above a feasible centre; nan for an infeasible one."""
    if centre.violation > 0:
        return math.nan
    polled = torch.tensor([stage == "poll" for stage in stages]) & (found.violation == 0)
    return float(found.goal.masked_fill(~polled, -math.inf).max()) - centre.goal


def _check(attack: str | None, barrier: str, count: str, choose: str) -> None:
    if attack is not None:
        check_choice("attack", attack, ATTACKS)
    check_choice("barrier", barrier, BARRIERS)
    check_choice("count", count, COUNTS)
    check_choice("choose", choose, _CHOICES)
