"""``Recorder``: measures quantities while any training loop runs, and leaves the training as it is."""

import copy
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_count
from workbench.moment import Moment, Quantity, Reading, as_readings
from workbench.problem import Problem
from workbench.trace import LEARNING_RATE, TRAINING_SECONDS, Row, Trace
from workbench.trace_file import TraceFile

DEFAULT = ("loss", "gradient_norm", "sharpness", "stability_threshold")
_OWN = (LEARNING_RATE, TRAINING_SECONDS)
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
    problem's data, and the update that it made. For the time of measuring the model is put back to that state
    in eval mode; afterwards parameters, buffers, modes, gradients and the random states are bit for bit as
    they were, so that the training is the same with a recorder and without.

    Parameters
    ----------
    problem : Problem
        Its model is the one that is trained. What is measured is over the problem's data.
    optimizer : torch.optim.Optimizer, or anything with ``param_groups`` and ``state``
        Only read.
    quantities : sequence of str or Quantity, or mapping of str to int
        Names of built-in quantities, or objects: built-in ones with other settings, or your own. A mapping
        says of each name how many steps lie between its measurements.
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
        by :meth:`close`; what it takes is not counted as training. ``wb.explore.live`` draws in this way.
    closed : bool
        Whether :meth:`close` was called.

    Raises
    ------
    ValueError
        If a name is unknown, with the nearest one; if the optimizer does not train the problem's model; if a
        quantity cannot be measured here; if the file is there and ``start`` is not given.
    TypeError
        If a quantity is neither a name nor a :class:`~workbench.moment.Quantity`.

    Notes
    -----
    Make the recorder right before the loop: the update of a step is what changed since the step before, or
    since the recorder was made. Memory: one copy of the parameters between steps, two while measuring. Cost:
    :meth:`cost` before the run; ``trace().costs()`` what it came to.

    Where the loss or its gradient is not finite, what cannot be measured is nan. Any other error of a
    quantity ends the training.
    """

    def __init__(
        self,
        problem: Problem,
        optimizer: Any,
        quantities: Sequence[str | Quantity] | Mapping[str, int] = DEFAULT,
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
        self.quantities = _read_quantities(quantities, every)
        for quantity in self.quantities:
            with _set_aside(problem.model):
                quantity.prepare(problem, optimizer)
        self.steps = start or 0
        self._every = {quantity.name: _own_every(quantity) for quantity in self.quantities}
        self._gradients = {quantity.name: float(quantity.cost) for quantity in self.quantities}
        self._file = None if path is None else TraceFile(path, self._every, self._gradients, start)
        self.listeners: list[Callable[[Recorder], None]] = []
        self.closed = False
        self._rows: list[Row] = [] if self._file is None else list(self._file.kept)
        self._before: list[Tensor] | None = None
        self._training_seconds = 0.0  # since the last row
        self._keep_state()
        self._resumed = time.perf_counter()

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
        """
        self._training_seconds += time.perf_counter() - self._resumed
        due = [quantity for quantity in self.quantities if self.steps % self._every[quantity.name] == 0]
        if due:
            self._record(due)
        self.steps += 1
        self._keep_state()
        if due:
            self._tell()
        self._resumed = time.perf_counter()
        return bool(due)

    def trace(self) -> Trace:
        """Return what was recorded so far; also that of the file before ``start``."""
        return Trace.from_rows(self._rows, self._every, self._gradients)

    def close(self) -> None:
        """Finish the file, if there is one: one Parquet file with all rows; listeners hear of the end."""
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

    def _keep_state(self) -> None:
        """Copy the parameters if anything is to be measured of the coming step."""
        is_due = any(self.steps % every == 0 for every in self._every.values())
        parameters = list(self.problem.model.parameters())
        self._before = [parameter.detach().clone() for parameter in parameters] if is_due else None

    def _record(self, due: Sequence[Quantity]) -> None:
        assert self._before is not None
        after = self.problem.parameters_vector()
        rate = float(self.optimizer.param_groups[0]["lr"])
        rows = [
            Row(self.steps, LEARNING_RATE, "", rate, 0.0, 0.0),
            Row(self.steps, TRAINING_SECONDS, "", self._training_seconds, 0.0, 0.0),
        ]
        with _set_aside(self.problem.model), _put_back(self.problem.model, self._before):
            wide = torch.promote_types(after.dtype, torch.float32)
            update = after.to(wide) - self.problem.parameters_vector().to(wide)
            moment = Moment(self.problem, self.optimizer, self.steps, update)
            for quantity in due:
                started = time.perf_counter()
                readings = _measure(quantity, moment)
                share = (time.perf_counter() - started) / max(1, len(readings))
                rows += [Row(self.steps, quantity.name, part, *r, share) for part, r in readings.items()]
        if self._file is not None:
            self._file.append(rows)
        self._rows += rows
        self._training_seconds = 0.0


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


def _read_quantities(quantities: Any, every: int) -> list[Quantity]:
    """Copies of the quantities, each with its schedule."""
    if isinstance(quantities, str | Quantity):
        quantities = [quantities]
    found = []
    for each in quantities:
        quantity = import_module(_BUILT_IN).built_in(each) if isinstance(each, str) else copy.copy(each)
        if not isinstance(quantity, Quantity):
            kind = type(each).__name__
            raise TypeError(f"a quantity is a {kind}: pass a name, or an object of a subclass of wb.Quantity")
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


def _check_trains(problem: Problem, optimizer: Any) -> None:
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}, which has no param_groups")
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in trained for parameter in problem.model.parameters()):
        raise ValueError(
            f"the optimizer has no parameter of {problem.name!r}: make both from one and the same model"
        )


@contextmanager
def _set_aside(model: nn.Module) -> Iterator[None]:
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
