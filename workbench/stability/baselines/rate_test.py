"""``find_rate``: the learning-rate range test."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from workbench.batches import default_forward, default_targets
from workbench.choices import check_count
from workbench.progress import progress
from workbench.stability.baselines.rate_range import RateRange
from workbench.stability.updates import put_back


@torch.enable_grad()
def find_rate(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    optimizer: Optimizer,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    diverged: float = 4.0,
) -> RateRange:
    """Train for a while with a learning rate that grows geometrically, and look where the loss falls fastest.

    Model and optimizer are put back afterwards.

    Parameters
    ----------
    model : nn.Module
        In the mode to train it in.
    loss : callable
        ``loss(outputs, targets)``, a scalar.
    data : iterable of batches
        ``(inputs, ..., targets)`` each; read again and again.
    optimizer : Optimizer
        Any of torch's that needs no closure. All of its groups get the same rate.
    low, high : float
        First and last rate.
    steps : int
        Number of rates, at least 3.
    smoothing : float
        Weight of the past in the exponential mean of the losses, from 0 up to 1.
    diverged : float
        The test ends where the mean exceeds this many times its lowest value so far.

    Returns
    -------
    RateRange
        Also after an interrupt.

    Raises
    ------
    ValueError
        If an argument is out of range, or the data holds no batch.

    Notes
    -----
    Cost: one gradient per step. Source: L. N. Smith, "Cyclical learning rates for training neural networks",
    arXiv:1506.01186, section 3.3, whose range grows linearly; the geometric growth and the steepest descent
    are later practice.
    """
    if not 0 < low < high < math.inf:
        raise ValueError(f"low={low}, high={high}: allowed is 0 < low < high")
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing={smoothing} is out of range: it must be from 0 up to 1")
    if not diverged > 1:
        raise ValueError(f"diverged={diverged} is out of range: it must exceed 1")
    check_count("steps", steps, low=3)
    if next(iter(data), None) is None:
        raise ValueError("the data holds no batch")
    rates = np.geomspace(low, high, steps)
    losses: list[float] = []
    smooth: list[float] = []
    state = copy.deepcopy(model.state_dict())
    stopped = interrupted = False
    try:
        with put_back(optimizer), progress("learning-rate test", steps) as advance:
            for rate, batch in zip(
                rates, itertools.chain.from_iterable(itertools.repeat(data)), strict=False
            ):
                value = _step(model, loss, batch, optimizer, float(rate))
                mean = smoothing * (smooth[-1] * (1 - smoothing ** len(losses)) if losses else 0.0)
                losses.append(value)
                smooth.append((mean + (1 - smoothing) * value) / (1 - smoothing ** len(losses)))
                stopped = not smooth[-1] <= diverged * min(smooth)
                advance(1, f"rate {rate:.2g}, loss {value:.3g}")
                if stopped:
                    break
    except KeyboardInterrupt:
        interrupted = True
    finally:
        model.load_state_dict(state)  # the buffers: batch statistics
    finite = np.isfinite(smooth)  # only the last may be infinite or nan
    return RateRange(
        rate=rates[: len(smooth)][finite],
        loss=np.array(losses[: len(smooth)])[finite],
        smooth=np.array(smooth)[finite],
        diverged=stopped,
        interrupted=interrupted,
    )


def _step(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], batch: Any, optimizer: Optimizer, rate: float
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    value = loss(default_forward(model, batch), default_targets(batch))
    value.backward()
    optimizer.step()
    return value.item()
