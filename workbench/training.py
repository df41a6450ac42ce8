"""A plain training loop, and the evaluation of what it trained."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from workbench.batches import default_forward, default_targets
from workbench.colors import BLUE, VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Measure = Callable[[Tensor, Tensor], Tensor]


class Minibatches:
    """Minibatches in a new random order at every pass, drawn from a generator of their own.

    Two objects with the same seed yield the same batches, whatever the global random state is.

    Parameters
    ----------
    inputs, targets : Tensor
        One example a row.
    size : int
        Examples in a batch; the last batch of a pass holds what is left.
    seed : int
        Of the order.
    """

    def __init__(self, inputs: Tensor, targets: Tensor, size: int, *, seed: int) -> None:
        self.inputs, self.targets, self.size = inputs, targets, size
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.targets) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.targets), generator=self._generator, device="cpu")
        for chosen in order.split(self.size):
            yield self.inputs[chosen], self.targets[chosen]


@dataclass(frozen=True, repr=False)
class History(Result):
    """What happened during a training.

    Attributes
    ----------
    loss : ndarray (steps,)
        Loss of each minibatch, before its step.
    learning_rate : ndarray (steps,)
        Of the first parameter group, as used by the step.
    epoch : ndarray (steps,)
        Number of the epoch, from 1.
    held_out_loss : ndarray (epochs done,)
        Mean loss on the held-out batches after each epoch; empty if there were none.
    completed : bool
        False if the training was interrupted.
    """

    loss: np.ndarray
    learning_rate: np.ndarray
    epoch: np.ndarray
    held_out_loss: np.ndarray
    completed: bool = True

    @property
    def steps(self) -> int:
        """Number of optimiser steps that were taken."""
        return len(self.loss)

    @property
    def epochs(self) -> int:
        """Number of epochs that were begun."""
        return int(self.epoch[-1]) if self.steps else 0

    def frame(self) -> pd.DataFrame:
        """One row per step; ``held_out_loss`` stands at the last step of its epoch and is nan elsewhere."""
        held_out = np.full(self.steps, np.nan)
        ends = self._epoch_ends()[: len(self.held_out_loss)]
        held_out[ends] = self.held_out_loss
        return pd.DataFrame(
            {
                "step": np.arange(1, self.steps + 1),
                "epoch": self.epoch,
                "loss": self.loss,
                "learning_rate": self.learning_rate,
                "held_out_loss": held_out,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Minibatch loss, its mean over each epoch and the held-out loss, against the step."""
        ax = new_axes(ax)
        if self.steps:
            ends = self._epoch_ends()
            step = np.arange(1, self.steps + 1)
            means = [self.loss[self.epoch == self.epoch[end]].mean() for end in ends]
            ax.plot(step, self.loss, color=BLUE, alpha=0.3, linewidth=0.8, label="minibatch")
            ax.plot(step[ends], means, color=BLUE, marker=".", label="epoch mean")
            if len(self.held_out_loss):
                ends = ends[: len(self.held_out_loss)]
                ax.plot(step[ends], self.held_out_loss, color=VERMILION, marker=".", label="held out")
            if (self.loss > 0).all():
                ax.set_yscale("log")
            ax.legend()
        ax.set_xlabel("step")
        ax.set_ylabel("loss")
        ax.set_title(self.summary(), fontsize="small")
        return ax

    def summary(self) -> str:
        """Last losses, how many steps, and whether it was interrupted."""
        note = "" if self.completed else ", INTERRUPTED"
        if not self.steps:
            return f"no step{note}"
        last = self.loss[self.epoch == self.epoch[-1]].mean()
        held_out = f", held out {self.held_out_loss[-1]:.4g}" if len(self.held_out_loss) else ""
        return f"loss {last:.4g} in the last epoch{held_out} ({self.steps} steps, {self.epochs} epochs{note})"

    def _epoch_ends(self) -> np.ndarray:
        return np.flatnonzero(np.diff(self.epoch, append=self.epochs + 1))


@torch.enable_grad()
def train(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    optimizer: Optimizer,
    *,
    epochs: int,
    scheduler: LRScheduler | None = None,
    held_out: Iterable[Any] | None = None,
    after_epoch: Callable[[int], None] | None = None,
    title: str = "training",
) -> History:
    """Train ``model`` in place: one optimiser step per batch, in train mode, with a progress bar.

    The order of the batches is the data's own affair (see :class:`Minibatches`), so a training is repeatable
    as soon as the data is and the model draws no random numbers.

    Parameters
    ----------
    model : nn.Module
        Its mode is restored at the end.
    loss : callable
        ``loss(outputs, targets)``, a scalar.
    data : iterable of batches
        ``(inputs, ..., targets)`` each; read once per epoch.
    optimizer : Optimizer
        Any whose ``step`` needs no closure.
    epochs : int
        Passes over the data; 0 leaves the model as it is.
    scheduler : LRScheduler, optional
        Stepped after every batch.
    held_out : iterable of batches, optional
        Its mean loss is measured after every epoch (one more forward pass over it).
    after_epoch : callable, optional
        ``after_epoch(epoch)`` is called with 0 before the first step and with its number after each epoch,
        e.g. to keep checkpoints.
    title : str
        Of the progress bar.

    Returns
    -------
    History
        Also after a KeyboardInterrupt, which ends the training but loses nothing: the model keeps the steps
        that were taken and ``completed`` is False.

    Raises
    ------
    ValueError
        If ``epochs`` is negative, or ``data`` can be read only once and there is more than one epoch.
    """
    if epochs < 0:
        raise ValueError(f"epochs={epochs}: allowed are 0, 1, 2, ...")
    if epochs > 1 and hasattr(data, "__next__"):
        raise ValueError("data is an iterator, used up after one epoch: pass a list or a DataLoader")
    losses: list[float] = []
    rates: list[float] = []
    epoch_numbers: list[int] = []
    held_out_losses: list[float] = []
    completed = False
    training = model.training
    total = epochs * len(data) if isinstance(data, Sized) else None
    try:
        with progress(title, total) as advance:
            if after_epoch is not None:
                after_epoch(0)
            for epoch in range(1, epochs + 1):
                model.train()
                for batch in data:
                    rates.append(optimizer.param_groups[0]["lr"])
                    losses.append(_step(model, loss, batch, optimizer))
                    epoch_numbers.append(epoch)
                    if scheduler is not None:
                        scheduler.step()
                    advance(1, f"epoch {epoch}/{epochs}, loss {losses[-1]:.3g}")
                if held_out is not None:
                    held_out_losses.append(_mean_loss(model, loss, held_out))
                if after_epoch is not None:
                    after_epoch(epoch)
        completed = True
    except KeyboardInterrupt:
        pass
    finally:
        model.train(training)
    steps = len(epoch_numbers)  # an interrupt may have come between two of the lists
    return History(
        loss=np.array(losses[:steps]),
        learning_rate=np.array(rates[:steps]),
        epoch=np.array(epoch_numbers, dtype=int),
        held_out_loss=np.array(held_out_losses),
        completed=completed,
    )


@torch.no_grad()
def evaluate(model: nn.Module, data: Iterable[Any], measures: Mapping[str, Measure]) -> dict[str, float]:
    """Measure ``model`` on ``data`` in eval mode: one forward pass, all outputs kept in memory.

    Parameters
    ----------
    model : nn.Module
        Its mode is restored.
    data : iterable of batches
        ``(inputs, ..., targets)`` each.
    measures : mapping of str to callable
        ``measure(outputs, targets)`` returns a scalar; it sees the outputs for all the data at once.

    Returns
    -------
    dict of str to float
        One value per measure.
    """
    training = model.training
    model.eval()
    try:
        pairs = [(default_forward(model, batch), default_targets(batch)) for batch in data]
    finally:
        model.train(training)
    outputs, targets = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return {name: float(measure(outputs, targets)) for name, measure in measures.items()}


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the targets whose class has the largest output; classes stand in dimension 1."""
    return (outputs.argmax(1) == targets).double().mean()


def r_squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the variance of the targets that the outputs explain; 0 for their mean, 1 at best."""
    residual = (targets - outputs).double().square().sum()
    return 1 - residual / (targets - targets.mean(0)).double().square().sum()


def _step(model: nn.Module, loss: Callable[[Any, Any], Tensor], batch: Any, optimizer: Optimizer) -> float:
    optimizer.zero_grad()
    value = loss(default_forward(model, batch), default_targets(batch))
    value.backward()
    optimizer.step()
    return value.item()


def _mean_loss(model: nn.Module, loss: Callable[[Any, Any], Tensor], data: Iterable[Any]) -> float:
    return evaluate(model, data, {"loss": loss})["loss"]
