r"""``Surrogate``: maximise :math:`f(\Phi(x))` where :math:`c(\Phi(x)) \le 0`, :math:`\Phi` a network."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Rows = Callable[[Tensor], Tensor]


class Evaluation(NamedTuple):
    r"""What is known of points: the goal (n,), and the violation (n,), 0 where all constraints hold.

    A goal that is not finite is :math:`-\infty`, a violation that is not a number :math:`\infty`: such a
    point is never accepted.
    """

    goal: Tensor
    violation: Tensor


@dataclasses.dataclass(frozen=True)
class Surrogate:
    r"""A problem behind a network: which x makes the outputs best?

    Attributes
    ----------
    name : str
        For titles.
    network : callable
        :math:`\Phi`, of points (n, dim); returns outputs (n, m), each row from its own point. Where goal or
        constraints speak of the point itself, the network appends it to its outputs. A module is in eval
        mode: it has to be one and the same function at each call.
    goal : callable
        f, of outputs (n, m); returns (n,), to be maximised.
    start : Tensor (dim,)
        Where a search begins, of the dtype that the network takes.
    constraints : callable, optional
        c, of outputs (n, m); returns (n, q). A point is feasible where all are at most 0.
    lower, upper : Tensor (dim,), optional
        A box, into which every trial point is clipped.

    Raises
    ------
    TypeError
        If the start is not a tensor of floating point numbers, or a function is none.
    ValueError
        If the start is not (dim,), lies outside its box, the functions do not return one row a point, or the
        network is another function at each call.
    """

    name: str
    network: Rows
    goal: Rows
    start: Tensor
    constraints: Rows | None = None
    lower: Tensor | None = None
    upper: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("network", "goal", "constraints"):
            value = getattr(self, name)
            if not callable(value) and not (name == "constraints" and value is None):
                raise TypeError(f"{name} is a {type(value).__name__}, not a function of rows")
        if not isinstance(self.start, Tensor) or not self.start.is_floating_point():
            raise TypeError(f"start is {self.start!r}: it must be a tensor of floating point numbers")
        if self.start.ndim != 1 or not self.dim or not self.start.isfinite().all():
            raise ValueError(f"start has shape {tuple(self.start.shape)}: it must be finite, (dim,)")
        for name in ("lower", "upper"):
            side = getattr(self, name)
            if side is not None and not isinstance(side, Tensor):
                raise TypeError(f"{name} is a {type(side).__name__}, not a tensor ({self.dim},)")
            if side is not None and side.shape != self.start.shape:
                raise ValueError(f"{name} has shape {tuple(side.shape)}, not ({self.dim},)")
        if self.lower is not None and self.upper is not None and (self.lower > self.upper).any():
            raise ValueError("the box is empty: lower is above upper in some variable")
        if not torch.equal(self.clipped(self.start), self.start):
            raise ValueError("start lies outside its box: clip it first")
        self._probe()

    @property
    def dim(self) -> int:
        """Number of variables."""
        return len(self.start)

    def clipped(self, points: Tensor) -> Tensor:
        """The nearest points (..., dim) in the box."""
        if self.lower is not None:
            points = torch.maximum(points, self.lower)
        return points if self.upper is None else torch.minimum(points, self.upper)

    def evaluate(self, points: Tensor) -> Evaluation:
        """Goal and violation, on the CPU, of points (n, dim): one forward pass, n evaluations."""
        with torch.no_grad():
            outputs = self.network(points)
            goal = self.goal(outputs).detach()
            violation = self._violation(outputs, goal)
        return Evaluation(
            torch.where(goal.isfinite(), goal, -math.inf).cpu(),
            torch.where(violation.isnan(), math.inf, violation).cpu(),
        )

    def direction(self, outputs: Tensor, aim: str = "goal") -> Tensor:
        r"""The directions (n, m) in which outputs (n, m) are to be pushed.

        :math:`\nabla f` for ``aim="goal"``; for ``"violation"`` that against the gradient of the violation,
        which leads back to feasible points. Zero where there is no gradient.
        """
        if not outputs.is_floating_point():
            return torch.zeros_like(outputs)
        with torch.enable_grad():
            outputs = outputs.detach().requires_grad_()
            goal = self.goal(outputs)
            value = goal if aim == "goal" else -self._violation(outputs, goal)
            if not value.requires_grad:
                return torch.zeros_like(outputs)
            (direction,) = torch.autograd.grad(
                value.sum(), outputs, allow_unused=True, materialize_grads=True
            )
        return direction

    def _violation(self, outputs: Tensor, goal: Tensor) -> Tensor:
        """Sum of the squares of what exceeds 0 (n,)."""
        if self.constraints is None:
            return torch.zeros_like(goal)
        return self.constraints(outputs).clamp_min(0).square().sum(-1)

    def _probe(self) -> None:
        """Try everything on two points."""
        points = self.start.expand(2, -1)
        with torch.no_grad():
            outputs = self.network(points)
            if outputs.ndim != 2 or len(outputs) != 2:
                raise ValueError(
                    f"network returns shape {tuple(outputs.shape)} for 2 points: it must be (2, m)"
                )
            if not torch.allclose(outputs, self.network(points), equal_nan=True):
                raise ValueError("network returns other outputs at each call: put a module into eval mode")
            goal = self.goal(outputs)
            if goal.shape != (2,):
                raise ValueError(f"goal returns shape {tuple(goal.shape)} for 2 points: it must be (2,)")
            if self.constraints is not None and (
                (held := self.constraints(outputs)).ndim != 2 or len(held) != 2
            ):
                raise ValueError(f"constraints return shape {tuple(held.shape)} for 2 points, not (2, q)")
