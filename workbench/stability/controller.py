"""``TaylorController``: any optimizer, with its steps kept within the Taylor radius of the loss."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.stability.control_trace import ControlTrace
from workbench.stability.logit_sources import BatchLogits, FunctionLogits, LogitSource, ProblemLogits
from workbench.stability.radii import KINDS, logit_radius
from workbench.stability.updates import (
    Closure,
    Step,
    are_finite,
    difference,
    distance,
    length,
    parameters_of,
    scale_step,
    take_step,
)

FORMS = ("cap", "ratio")
_KEY = "taylor_controller"
_EXCESS = 1e-6  # of a step's length over what it may be


class Control(NamedTuple):
    """What the controller did at one step.

    Attributes
    ----------
    proposed : float
        Length tau of the optimizer's own update, over all of its parameters.
    radius : float
        Radius rho that the step was held against; inf if no slope differs, nan if there was no update.
    scale : float
        The part of the update that was asked for.
    taken : float
        Length of what the parameters changed by.
    measured : bool
        Whether the radius was measured at this step, along this update; else it is that of an earlier step.
    """

    proposed: float
    radius: float
    scale: float
    taken: float
    measured: bool


class TaylorController(Optimizer):
    r"""Wrap any torch optimizer so that the length of its update stays within the Taylor radius.

    At each step the optimizer makes its real update p, with momenta, preconditioner and weight decay. With
    :math:`v = p / \|p\|`, one forward-mode product gives the logits and their slopes along v at the point
    before the step, and these the radius :math:`\rho` (:func:`logit_radius`, the least over the samples).
    Then :math:`p \leftarrow \min(1, r\rho/\|p\|)\, p`. The optimizer's state is that of its own, whole step.
    What the parameters really change by is measured in float64, and shortened further where their rounding
    has made it longer than :math:`r\rho` (by more than 1e-6 of it).

    The controller is a ``torch.optim.Optimizer`` itself and shares the groups and the state of the one that
    it wraps: it takes its place in training loops, schedulers and ``GradScaler``; a checkpoint of either
    fits both. ::

        optimizer = TaylorController(torch.optim.Adam(model.parameters(), lr=1e-2), model)
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
        print(optimizer.trace())

    Parameters
    ----------
    optimizer : Optimizer
        The one to wrap. Let it take no step of its own afterwards.
    logits : nn.Module, Problem or callable
        What the radius is measured on. A module: the batch that it was called with last while gradients were
        recorded (with several calls per step, only the last). A problem: all of its data, at the cost of a
        pass over them. A function ``logits(*parameters)`` of the optimizer's parameters in the order of its
        groups: what it returns, (examples, classes).

        NOT FOR SEVERAL BINARY OUTPUTS: a module or a function does not tell its loss, so each row is taken as
        the logits of one softmax, and one column z as the two classes (0, z) of a binary model. A multi-label
        model (examples, labels) with ``BCEWithLogitsLoss`` would get the radius of a loss that it does not
        have: pass a Problem, which knows the loss.
    r : float
        Largest ratio of the length of a step to the radius.
    every : int
        Measure only at every so many steps; the others are held against the last radius, which was measured
        elsewhere and along another update, so nothing is certified for them. The trace says which.
    kind : {"majority", "spread", "exact"}
        Of the radius.
    form : {"cap", "ratio"}
        ``"cap"`` shortens what is too long. ``"ratio"`` makes every step :math:`r\rho` long, so that the
        learning rate has no effect other than on weight decay and between groups.
    read : callable, optional
        For a module: takes the logits (rows, classes) from its output, e.g. for tokens
        ``lambda output: output.logits.flatten(0, 1)``. Every row is a sample, padding included.

    Raises
    ------
    TypeError
        If ``optimizer`` is none, or ``logits`` none of these.
    ValueError
        If an argument is out of range, or the optimizer holds parameters that the logits do not depend on.

    Notes
    -----
    Cost per step: four copies of the parameters (before and after the step, the direction, and what is made
    of them), and every ``every`` steps one forward-mode product (about two forward passes over the batch).
    The model is in eval mode during the product, so BatchNorm has its running statistics and dropout is off;
    all modes are put back. The product runs outside autocast, in the parameters' own precision.

    In low precision, rounding turns a shortened step a little away from the direction that was measured, and
    parameters that it moves by less than half of their last digit stay: the length is kept, the direction is
    that of the update only as far as the parameters' own digits go.

    A module and a function need forward-mode derivatives, which recurrent layers do not have; a problem has
    two backward passes in their place. The hook by which a module's inputs are known goes with the
    controller; until then the module cannot be pickled whole, its state dict can.

    What the radius bounds is the series of the loss with linearised logits; it does not promise that the loss
    falls. An optimizer that learns from the steps it took (LBFGS, ASGD) learns from its whole ones.

    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, Prop. 5.2; there with :math:`\rho = \pi/\Delta`
    (``kind="spread"``).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        logits: nn.Module | Problem | Callable[..., Tensor],
        r: float = 1.0,
        *,
        every: int = 1,
        kind: str = "majority",
        form: Literal["cap", "ratio"] = "cap",
        read: Callable[[Any], Tensor] | None = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer is a {type(optimizer).__name__}, not a torch.optim.Optimizer")
        if not 0 < r < math.inf:
            raise ValueError(f"r={r} is out of range: it must be positive")
        check_count("every", every)
        check_choice("kind", kind, KINDS)
        check_choice("form", form, FORMS)
        self.optimizer = optimizer
        # Hooks and the profiler's name of an optimizer, without groups and state of its own.
        super().__setstate__({"defaults": optimizer.defaults})
        self.source = _source(logits, read, parameters_of(optimizer))
        self.r, self.every, self.kind, self.form = r, every, kind, form
        self.radius = math.nan
        self.steps = 0
        # Nested pairs (last, (the one before, ...)): whoever puts the attributes back forgets a trial step.
        self._records: tuple[Any, ...] = ()

    # ---- a step ---------------------------------------------------------------------------------------

    def step(self, closure: Closure | None = None) -> Any:
        """Take one step of the optimizer, or the part of it that the radius allows; returns its loss.

        Raises
        ------
        ValueError
            If a gradient is not finite and there is no closure: nothing has changed, neither the parameters
            nor the optimizer's state, so that training can go on. Otherwise, if the update is not finite, or
            the radius cannot be measured: the parameters are as they were, but the optimizer's state is that
            after the step; where it is not finite, load an earlier ``state_dict``.
        TypeError
            If what the radius is measured on gives no tensor of logits, with the same consequences.
        """
        if closure is None:
            self._refuse_gradients()
        step = take_step(self.optimizer, closure)
        proposed = distance(step.before, step.after)
        if not math.isfinite(proposed):
            scale_step(self.optimizer, step, 0)
            raise ValueError(
                f"the update of {type(self.optimizer).__name__} is not finite at step {self.steps + 1}"
            )
        measured = proposed > 0 and (self.steps % self.every == 0 or math.isnan(self.radius))
        if measured:
            self.radius = self._measure(step, proposed)
        scale, taken = self._take(step, proposed, moved=measured)
        self.steps += 1
        self._records = (Control(proposed, self.radius, scale, taken, measured), self._records)
        return step.loss

    def trace(self) -> ControlTrace:
        """What was done at the steps of this object so far."""
        records, rest = [], self._records
        while rest:
            record, rest = rest
            records.append(record)
        columns = np.array(records[::-1]).reshape(-1, len(Control._fields)).T
        return ControlTrace(
            step=np.arange(self.steps - len(records), self.steps) + 1,
            proposed=columns[0],
            radius=columns[1],
            scale=columns[2],
            taken=columns[3],
            measured=columns[4].astype(bool),
            r=self.r,
            kind=self.kind,
            measured_on=self.source.description,
        )

    def _refuse_gradients(self) -> None:
        gradients = (each.grad for each in parameters_of(self.optimizer) if each.grad is not None)
        if not are_finite(gradients):
            raise ValueError(f"the gradients are not finite at step {self.steps + 1}: nothing was changed")

    def _measure(self, step: Step, proposed: float) -> float:
        """Least radius along the step at the point before it."""
        scale_step(self.optimizer, step, 0)
        direction = [
            (difference(old, new) / proposed).to(old.dtype)
            for old, new in zip(step.before, step.after, strict=True)
        ]
        pairs = self.source.pairs(parameters_of(self.optimizer), direction)
        radius = min(float(logit_radius(logits, slopes, self.kind).radius.min()) for logits, slopes in pairs)
        return radius * length(direction)  # 1 but for the direction's rounding

    def _take(self, step: Step, proposed: float, moved: bool) -> tuple[float, float]:
        """Leave the parameters where the radius allows; returns the scale and the length really taken."""
        scale = self._scale(proposed)
        if scale == 1:
            if moved:
                scale_step(self.optimizer, step, 1)
            return scale, proposed
        tries, limit = 0, self.r * self.radius
        while (taken := self._go(step, scale)) > limit * (1 + _EXCESS):
            # Rounded to nearest, parameters went too far. In coarse precision a little less may round to the
            # same; halving ends, at the latest where nothing moves.
            tries += 1
            scale *= limit / taken if tries < 5 else limit / taken / 2
        return scale, taken

    def _go(self, step: Step, scale: float) -> float:
        scale_step(self.optimizer, step, scale)
        return distance(step.before, parameters_of(self.optimizer))

    def _scale(self, proposed: float) -> float:
        if not proposed or not math.isfinite(self.radius):
            return 1.0
        scale = self.r * self.radius / proposed
        return min(1.0, scale) if self.form == "cap" else scale

    # ---- the optimizer that this one stands for -------------------------------------------------------

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of the wrapped optimizer."""
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self.optimizer.param_groups = groups

    @property
    def state(self) -> Any:
        """State of the wrapped optimizer."""
        return self.optimizer.state

    @state.setter
    def state(self, state: Any) -> None:
        self.optimizer.state = state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the wrapped optimizer."""
        self.optimizer.add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """State of the wrapped optimizer, and the controller's own under a key that the other ignores."""
        return {**self.optimizer.state_dict(), _KEY: {"steps": self.steps, "radius": self.radius}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned, of a controller or of a plain optimizer; not the trace."""
        self.optimizer.load_state_dict({key: value for key, value in state_dict.items() if key != _KEY})
        own = state_dict.get(_KEY, {"steps": 0, "radius": math.nan})
        self.steps, self.radius = own["steps"], own["radius"]
        self._records = ()

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a TaylorController cannot be copied or pickled: keep its state_dict()")


def _source(logits: Any, read: Callable[[Any], Tensor] | None, parameters: list[Tensor]) -> LogitSource:
    if read is not None and not isinstance(logits, nn.Module):
        raise TypeError(f"read= is for a module's outputs, and logits is a {type(logits).__name__}")
    if isinstance(logits, Problem):
        return ProblemLogits(logits, parameters)
    if isinstance(logits, nn.Module):
        return BatchLogits(logits, read or (lambda outputs: outputs), parameters)
    if callable(logits):
        return FunctionLogits(logits)
    raise TypeError(f"logits is a {type(logits).__name__}, not a module, a Problem or a function")
