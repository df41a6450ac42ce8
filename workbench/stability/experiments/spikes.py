"""``learning_rate_spikes``: what a learning rate that is suddenly far too large does to a training."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from workbench.choices import check_choice, check_count
from workbench.problems.datasets import Dataset
from workbench.progress import progress
from workbench.stability.baselines import LengthCap, armijo_step, clipped_step, polyak_step
from workbench.stability.controller import TaylorController
from workbench.stability.experiments.networks import NETWORKS, build_network, digits
from workbench.stability.experiments.spike_runs import SpikeRun, SpikeRuns
from workbench.stability.logit_sources import BatchLogits, evaluating
from workbench.stability.radii import KINDS, logit_radius
from workbench.stability.updates import length
from workbench.training import Minibatches, accuracy

METHODS = ("plain", "clipped", "length-capped", "armijo", "polyak", "controlled")


class Spike(NamedTuple):
    """When the learning rate is multiplied, and by what."""

    factor: float
    first: int
    last: int

    def at(self, step: int) -> float:
        """Factor of the learning rate at a step, counted from 0."""
        return self.factor if self.first <= step < self.last else 1.0


def learning_rate_spikes(
    networks: Sequence[str] = ("mlp",),
    factors: Sequence[float] = (10, 100, 1000, 10_000),
    methods: Sequence[str] = METHODS,
    *,
    rate: float = 1e-3,
    seeds: int = 5,
    steps: int = 200,
    start: int = 50,
    hold: int | None = None,
    batch_size: int | None = 64,
    kind: str = "spread",
) -> SpikeRuns:
    """Train digit classifiers with Adam while the learning rate is multiplied for a time.

    Parameters
    ----------
    networks : sequence of str
        Names of ``NETWORKS``.
    factors : sequence of float
        What the learning rate is multiplied by; 1 is no spike.
    methods : sequence of str
        ``"plain"`` Adam; ``"clipped"``, its gradient clipped to length 1; ``"length-capped"``, its update no
        longer than the median of the last 50; ``"armijo"``, backtracking along its update; ``"polyak"``,
        gradient descent with Polyak's step, the learning rate as its largest (without Adam, and not a fair
        comparison of speed); ``"controlled"`` by :class:`TaylorController` with r = 1, on the minibatch.
    rate : float
        Learning rate outside the spike.
    seeds : int
        Runs of each kind, with the seeds 0, 1, ...: of the split, the initial weights and the batches.
    steps, start, hold : int
        Steps in all, those before the spike, and those that it lasts (None: to the end, as the paper's first
        experiment has it; its second has 1).
    batch_size : int or None
        None for all training examples at once.
    kind : {"spread", "majority", "exact"}
        Of the radius, which the controller holds steps against and all methods are measured by. The spread
        is the paper's; the controller's own default takes several times as long on a network this small.

    Returns
    -------
    SpikeRuns
        Also after an interrupt, with the runs that were finished.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range.

    Notes
    -----
    Cost: for each run ``steps`` gradients and, up to the end of the spike, as many forward-mode products that
    measure the radius along what the method did; the controller's and the line search's own passes come on
    top. About a second per run of ``"mlp"`` on one thread.

    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, and the code of its two experiments with spikes. There
    the radius is that of all training examples; the controller here knows no more than its minibatch. Of the
    methods, the paper has plain, clipped and controlled. The code of the second never puts a network into
    eval mode when it measures accuracy, so ``train_mode_accuracy`` is what its figures compare with.
    """
    _check(networks, factors, methods, kind)
    if not 0 < rate < np.inf:
        raise ValueError(f"rate={rate} is out of range: it must be positive")
    check_count("seeds", seeds)
    check_count("steps", steps)
    check_count("start", start, low=0, high=steps)
    if hold is not None:
        check_count("hold", hold)
    last = steps if hold is None else start + hold
    runs: list[SpikeRun] = []
    interrupted = False
    jobs = list(itertools.product(networks, factors, methods, range(seeds)))
    try:
        with progress("learning-rate spikes", len(jobs)) as advance:
            for network, factor, method, seed in jobs:
                spike = Spike(float(factor), start, last)
                runs.append(_train(network, spike, method, seed, rate, steps, batch_size, kind))
                advance(1, f"{network} ×{factor:g} {method}: {runs[-1].accuracy:.0%}")
    except KeyboardInterrupt:
        interrupted = True
    return SpikeRuns(
        **SpikeRuns.columns(runs),
        rate=rate,
        steps=steps,
        start=start,
        hold=last - start,
        batch_size=batch_size,
        kind=kind,
        interrupted=interrupted,
    )


def _train(
    network: str,
    spike: Spike,
    method: str,
    seed: int,
    rate: float,
    steps: int,
    batch_size: int | None,
    kind: str,
) -> SpikeRun:
    """One training, with the ratio of length to radius of each of its steps."""
    data = digits(seed)
    model = build_network(network, seed)
    parameters = list(model.parameters())
    optimizer = Adam(parameters, lr=rate)
    make_step = _STEPS[method](model, optimizer, kind)
    source = BatchLogits(model, lambda outputs: outputs, parameters)
    ratios: list[float] = []
    finite = True
    for step, (inputs, targets) in zip(range(steps), _batches(data, batch_size, seed), strict=False):
        optimizer.param_groups[0]["lr"] = rate * spike.at(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        before = [parameter.detach().clone() for parameter in parameters]
        make_step(inputs, targets, loss.item())
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in parameters)
        if step < spike.last:  # what comes after is not reported
            ratios.append(_ratio(source, parameters, before, kind))
            finite = finite and bool(np.isfinite(ratios[-1]))
        if not finite:
            break
    spiked = ratios[spike.first : spike.last]
    return SpikeRun(
        network=network,
        factor=spike.factor,
        method=method,
        seed=seed,
        accuracy=_held_out_accuracy(model, data),
        train_mode_accuracy=_train_mode_accuracy(model, data),
        largest_ratio=max(spiked, default=np.nan),
        ratio_before=max(ratios[: spike.first], default=np.nan),
        finite=finite,
    )


def _ratio(source: BatchLogits, parameters: list[nn.Parameter], before: list[Tensor], kind: str) -> float:
    """Length of what a step has changed over the radius along it, at the point before; inf if not finite."""
    after = [parameter.detach().clone() for parameter in parameters]
    update = [new - old for new, old in zip(after, before, strict=True)]
    tau = length(update)
    if not tau:
        return 0.0
    if not np.isfinite(tau):
        return np.inf
    _set(parameters, before)
    ((logits, slopes),) = source.pairs(parameters, [part / tau for part in update])
    _set(parameters, after)
    if not (torch.isfinite(logits).all() and torch.isfinite(slopes).all()):
        return np.inf
    return tau / float(logit_radius(logits, slopes, kind).radius.min())


@torch.no_grad()
def _set(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


@torch.no_grad()
def _held_out_accuracy(model: nn.Module, data: Dataset) -> float:
    inputs, targets = data.test
    with evaluating(model):
        return float(accuracy(model(inputs), targets))


@torch.no_grad()
def _train_mode_accuracy(model: nn.Module, data: Dataset) -> float:
    """With the statistics of the held-out batch itself; the last thing that is asked of the model."""
    inputs, targets = data.test
    return float(accuracy(model.train()(inputs), targets))


def _batches(data: Dataset, size: int | None, seed: int) -> itertools.chain:
    passes = [data.train] if size is None else Minibatches(*data.train, size, seed=seed)
    return itertools.chain.from_iterable(itertools.repeat(passes))


# ---- the methods: each makes a function of a batch and its loss that steps from the gradients ------------

Step = Callable[[Tensor, Tensor, float], object]


def _plain(model: nn.Module, optimizer: Adam, kind: str) -> Step:
    return lambda inputs, targets, loss: optimizer.step()


def _clipped(model: nn.Module, optimizer: Adam, kind: str) -> Step:
    return lambda inputs, targets, loss: clipped_step(optimizer, 1.0)


def _length_capped(model: nn.Module, optimizer: Adam, kind: str) -> Step:
    cap = LengthCap(optimizer)
    return lambda inputs, targets, loss: cap.step()


def _armijo(model: nn.Module, optimizer: Adam, kind: str) -> Step:
    return lambda inputs, targets, loss: armijo_step(
        optimizer, lambda: F.cross_entropy(model(inputs), targets)
    )


def _polyak(model: nn.Module, optimizer: Adam, kind: str) -> Step:
    return lambda inputs, targets, loss: polyak_step(
        model.parameters(), loss, largest=optimizer.param_groups[0]["lr"]
    )


def _controlled(model: nn.Module, optimizer: Adam, kind: str) -> Step:
    controller = TaylorController(optimizer, model, kind=kind)
    return lambda inputs, targets, loss: controller.step()


_STEPS: dict[str, Callable[[nn.Module, Adam, str], Step]] = {
    "plain": _plain,
    "clipped": _clipped,
    "length-capped": _length_capped,
    "armijo": _armijo,
    "polyak": _polyak,
    "controlled": _controlled,
}


def _check(networks: Sequence[str], factors: Sequence[float], methods: Sequence[str], kind: str) -> None:
    for name, values in (("networks", networks), ("factors", factors), ("methods", methods)):
        if isinstance(values, str) or not len(values):
            raise ValueError(f"{name}={values!r}: pass a list of at least one")
    for network in networks:
        check_choice("network", network, list(NETWORKS))
    for method in methods:
        check_choice("method", method, METHODS)
    for factor in factors:
        if not 0 < factor < np.inf:
            raise ValueError(f"factor={factor} is out of range: it must be positive")
    check_choice("kind", kind, KINDS)
