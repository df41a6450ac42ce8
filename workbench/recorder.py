"""``Recorder``: measures quantities while any training loop runs, and leaves the training as it is."""

import copy
import os
import random
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from workbench.choices import check_count
from workbench.moment import Moment, Quantity, Reading, as_readings, innermost
from workbench.problem import Problem
from workbench.trace import (
    LEARNING_RATE,
    LISTENER_SECONDS,
    RECORDER_SECONDS,
    THRESHOLD,
    TRAINING_SECONDS,
    Row,
    Trace,
)
from workbench.trace_file import TraceFile

DEFAULT = ("loss", "gradient_norm", "sharpness")
_OWN = (LEARNING_RATE, TRAINING_SECONDS, RECORDER_SECONDS, LISTENER_SECONDS)
_BUILT_IN = "workbench.stability.quantities"  # above this module: looked up when a name is asked for


class Recorder:
    """Measure quantities of a problem while an optimizer trains its model::

        recorder = wb.Recorder(problem, optimizer, every=10, quantities=["loss", "sharpness"])
        for batch in batches:
            ...
            optimizer.step()
            recorder.step()
        recorder.trace().plot()

    A row tells of one step: the state from which it was taken, with its loss, gradient and curvature over the
    problem's data, the update that it made, and the learning rate that it had, whether a scheduler steps
    before the recorder or after. For the time of measuring parameters and the optimizer's settings are those
    of the step again, and the model is in eval mode; afterwards parameters, buffers, modes, gradients and the
    random states are bit for bit as they were, so that the training is the same with a recorder and without.

    Buffers are not put back: BatchNorm's running statistics are those that the step's forward pass left, so
    with them a row is not exactly of the state before the step.

    Parameters
    ----------
    problem : Problem
        Its model is the one that is trained. What is measured is over the problem's data.
    optimizer : torch.optim.Optimizer, or anything with ``param_groups`` and ``state``
        It may wrap another one, as a ``TaylorController`` does. A hook on its step keeps the settings until
        :meth:`close`; what is no torch optimizer has no hooks: call a scheduler after the recorder then.
    quantities : sequence of str or Quantity, or mapping of str to int, optional
        Names of built-in quantities, which ``wb.stability.quantities.catalogue(problem, optimizer)`` lists,
        or objects: built-in ones with other settings, or your own. A mapping says of each name how many steps
        lie between its measurements. By default the loss, the norm of its gradient, the sharpness and, for an
        optimizer of which it is known, the threshold of stability.
    every : int
        Steps between measurements of the quantities that do not have their own.
    path : path, optional
        Of a Parquet file that grows with the training. A killed run loses at most the row that was being
        measured. An existing file is not overwritten.
    start : int, optional
        Number of steps that were taken before, when a training goes on: with ``path``, its file goes on, too,
        and what it has from that step on is dropped.

    Attributes
    ----------
    listeners : list of callable
        Each is called with the recorder after every step at which anything was measured, and once at the end
        by :meth:`close`. What they take is recorded apart, as ``"listener_seconds"`` of the next row, and
        counts in the overhead. ``wb.explore.live`` draws in this way.
    closed : bool
        Whether :meth:`close` was called.

    Raises
    ------
    ValueError
        If a name is unknown, with the nearest one; if the optimizer does not train the problem's model; if a
        quantity cannot be measured here; if the file is there and ``start`` is not given.
    TypeError
        If a quantity is neither a name nor a :class:`~workbench.moment.Quantity`, or has no name or cost.

    Notes
    -----
    Make the recorder right before the loop: the update of a step is what changed since the step before, or
    since the recorder was made. Memory: one copy of the parameters between steps, two while measuring. Cost:
    :meth:`cost` before the run; ``trace().costs()`` and ``trace().overhead`` what it came to.

    Where the loss or its gradient is not finite, what cannot be measured is nan. Any other error of a
    quantity ends the training.
    """

    def __init__(
        self,
        problem: Problem,
        optimizer: Any,
        quantities: Sequence[str | Quantity] | Mapping[str, int] | None = None,
        *,
        every: int = 10,
        path: str | os.PathLike[str] | None = None,
        start: int | None = None,
    ) -> None:
        check_count("every", every)
        if start is not None:
            check_count("start", start, low=0)
        self.problem, self.optimizer = problem, optimizer
        _check_trains(problem, optimizer)
        chosen = _usual(problem, optimizer) if quantities is None else quantities
        self.quantities = _read_quantities(chosen, every)
        for quantity in self.quantities:
            with set_aside(problem.model):
                quantity.prepare(problem, optimizer)
        self.steps = start or 0
        self._every = {quantity.name: _own_every(quantity) for quantity in self.quantities}
        self._gradients = {quantity.name: _cost(quantity) for quantity in self.quantities}
        self._file = None if path is None else TraceFile(path, self._every, self._gradients, start)
        self.listeners: list[Callable[[Recorder], None]] = []
        self.closed = False
        self._rows: list[Row] = [] if self._file is None else list(self._file.kept)
        self._before: list[Tensor] | None = None
        self._settings: list[dict[str, Any]] | None = None
        self._unhook = _watch_steps(optimizer, self)
        self._training_seconds = self._own_seconds = self._listener_seconds = 0.0  # since the last row
        self._lap_began = time.perf_counter()
        self._keep_state()
        self._own_seconds += self._lap()

    def cost(self) -> pd.DataFrame:
        """Return what recording is expected to cost, one row per quantity, before anything is measured.

        In gradients over the problem's data per measurement and per 1000 steps, as if nothing were shared.
        """
        per_1000 = {name: 1000 / every for name, every in self._every.items()}
        return pd.DataFrame(
            {
                "quantity": list(self._every),
                "every": list(self._every.values()),
                "gradients": list(self._gradients.values()),
                "measurements_per_1000_steps": list(per_1000.values()),
                "gradients_per_1000_steps": [per_1000[name] * self._gradients[name] for name in per_1000],
            }
        )

    def step(self) -> bool:
        """Measure what is due; to be called after each step of the optimizer.

        Returns
        -------
        bool
            Whether anything was measured.

        Raises
        ------
        ValueError
            After :meth:`close`.
        """
        if self.closed:
            raise ValueError(
                f"the recorder was closed after {self.steps} steps: make another with start={self.steps}"
            )
        self._training_seconds += self._lap()
        due = [quantity for quantity in self.quantities if self.steps % self._every[quantity.name] == 0]
        if due:
            self._record(due)
        self.steps += 1
        self._keep_state()
        self._own_seconds += self._lap()
        if due:
            self._tell()
            self._listener_seconds += self._lap()
        return bool(due)

    def trace(self) -> Trace:
        """Return what was recorded so far; also that of the file before ``start``."""
        return Trace.from_rows(self._rows, self._every, self._gradients)

    def close(self) -> None:
        """Finish the file, if there is one: one Parquet file with all rows; listeners hear of the end.

        The optimizer is let go. A second call does nothing.
        """
        if self.closed:
            return
        self._unhook()
        if self._file is not None:
            self._file.close()
        self.closed = True
        self._tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- inside ---------------------------------------------------------------------------------------

    def _tell(self) -> None:
        for listener in self.listeners:
            listener(self)

    def _lap(self) -> float:
        """Seconds since the last call: all time is one lap after the other."""
        began, self._lap_began = self._lap_began, time.perf_counter()
        return self._lap_began - began

    def _keep_state(self) -> None:
        """Copy the parameters if anything is to be measured of the coming step."""
        self._settings = None
        is_due = any(self.steps % every == 0 for every in self._every.values())
        parameters = list(self.problem.model.parameters())
        self._before = [parameter.detach().clone() for parameter in parameters] if is_due else None

    def _keep_settings(self) -> None:
        """Copy the learning rate and all else that the groups say, right after the optimizer's step."""
        if self._before is not None:
            self._settings = [_settings_of(group) for group in self.optimizer.param_groups]

    def _record(self, due: Sequence[Quantity]) -> None:
        assert self._before is not None
        after = self.problem.parameters_vector()
        measured = []
        with (
            set_aside(self.problem.model),
            _put_back(self.problem.model, self._before),
            _settings_put_back(self.optimizer, self._settings or []),
        ):
            rate = float(self.optimizer.param_groups[0]["lr"])
            wide = torch.promote_types(after.dtype, torch.float32)
            update = after.to(wide) - self.problem.parameters_vector().to(wide)
            moment = Moment(self.problem, self.optimizer, self.steps, update)
            for quantity in due:
                self._own_seconds += self._lap()
                readings = _measure(quantity, moment)
                share = self._lap() / max(1, len(readings))
                measured += [Row(self.steps, quantity.name, part, *r, share) for part, r in readings.items()]
        own = self._own_seconds + self._lap()
        rows = [
            Row(self.steps, LEARNING_RATE, "", rate, 0.0, 0.0),
            Row(self.steps, TRAINING_SECONDS, "", self._training_seconds, 0.0, 0.0),
            Row(self.steps, RECORDER_SECONDS, "", own, 0.0, own),
            Row(self.steps, LISTENER_SECONDS, "", self._listener_seconds, 0.0, self._listener_seconds),
            *measured,
        ]
        # What the file and the listeners take of this row is told by the next one.
        self._training_seconds = self._own_seconds = self._listener_seconds = 0.0
        if self._file is not None:
            self._file.append(rows)
        self._rows += rows


def _measure(quantity: Quantity, moment: Moment) -> dict[str, Reading]:
    try:
        return as_readings(quantity.name, quantity.measure(moment))
    except (ValueError, ArithmeticError, RuntimeError):
        if _is_finite(moment):
            raise
        return {"": Reading(float("nan"), float("nan"))}


def _is_finite(moment: Moment) -> bool:
    loss = moment.shared(Problem.loss_at)
    return bool(np.isfinite(loss)) and bool(moment.gradient.isfinite().all())


def _usual(problem: Problem, optimizer: Any) -> tuple[str, ...]:
    """Names of the default quantities: with the threshold of stability if that of the optimizer is known."""
    try:
        import_module(_BUILT_IN).built_in(THRESHOLD).prepare(problem, optimizer)
    except ValueError:
        return DEFAULT
    return (*DEFAULT, THRESHOLD)


def _read_quantities(quantities: Any, every: int) -> list[Quantity]:
    """Copies of the quantities, each with its schedule."""
    if isinstance(quantities, str | Quantity | type):
        quantities = [quantities]
    found = []
    for each in quantities:
        quantity = import_module(_BUILT_IN).built_in(each) if isinstance(each, str) else copy.copy(each)
        if not isinstance(quantity, Quantity):
            kind = f"the class {each.__name__}" if isinstance(each, type) else f"a {type(each).__name__}"
            raise TypeError(f"a quantity is {kind}: pass a name, or an object of a subclass of wb.Quantity")
        if not isinstance(getattr(quantity, "name", None), str):
            raise TypeError(f"a {type(quantity).__name__} has no name: set its name to a str")
        own = quantities[each] if isinstance(quantities, Mapping) else quantity.every
        quantity.every = every if own is None else own
        check_count(f"every of {quantity.name!r}", quantity.every)
        found.append(quantity)
    names = [quantity.name for quantity in found]
    if not names:
        raise ValueError("no quantity was given: name one at least")
    for name in names:
        if names.count(name) > 1 or name in _OWN:
            raise ValueError(f"{name!r} is recorded twice: give one of them another name")
    return found


def _own_every(quantity: Quantity) -> int:
    assert quantity.every is not None
    return quantity.every


def _cost(quantity: Quantity) -> float:
    try:
        return float(quantity.cost)
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(
            f"quantity {quantity.name!r} has no cost: set its cost to a number of gradients over the data"
        ) from error


def _check_trains(problem: Problem, optimizer: Any) -> None:
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}, which has no param_groups")
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in trained for parameter in problem.model.parameters()):
        raise ValueError(
            f"the optimizer has no parameter of {problem.name!r}: make both from one and the same model"
        )


@contextmanager
def set_aside(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode for a while, with random states of its own; all comes back."""
    modes = [(module, module.training) for module in model.modules()]
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - it is the global one
    devices = sorted({p.get_device() for p in model.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices=devices):
            for module, _ in modes:
                module.training = False  # not eval(), which a model may override
            yield
    finally:
        for module, training in modes:
            module.training = training
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def _watch_steps(optimizer: Any, recorder: Recorder) -> Callable[[], Any]:
    """Let a recorder keep the settings of each step of an optimizer; returns what ends that.

    Of optimizers around each other it is the innermost, which takes torch's own steps. The hook does not keep
    the recorder alive, and goes with it.
    """
    optimizer = innermost(optimizer)
    if not isinstance(optimizer, Optimizer):
        return lambda: None
    known = weakref.ref(recorder)

    def hook(*_: Any) -> None:
        found = known()
        if found is not None:
            found._keep_settings()

    return weakref.finalize(recorder, optimizer.register_step_post_hook(hook).remove)


def _settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """What a group says beside its parameters; tensors, which schedulers fill in place, as copies."""
    return {
        key: value.detach().clone() if isinstance(value, Tensor) else value
        for key, value in group.items()
        if key != "params"
    }


@contextmanager
def _settings_put_back(optimizer: Any, settings: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Put earlier settings into an optimizer's groups for a while; groups that came later keep theirs."""
    groups = optimizer.param_groups
    present = [dict(group) for group in groups]
    try:
        for group, values in zip(groups, settings, strict=False):
            group.update(values)
        yield
    finally:
        for group, values in zip(groups, present, strict=True):
            group.clear()
            group.update(values)


@contextmanager
def _put_back(model: nn.Module, values: Sequence[Tensor]) -> Iterator[None]:
    """Put earlier values of all parameters into the model for a while."""
    parameters = list(model.parameters())
    after = [parameter.detach().clone() for parameter in parameters]
    try:
        _fill(parameters, values)
        yield
    finally:
        _fill(parameters, after)


@torch.no_grad()
def _fill(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
