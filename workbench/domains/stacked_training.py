"""``train_stacked``: one method at several weights and seeds, many runs in one tensor program."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from workbench.domains.environments import Environments
from workbench.domains.heads import with_ones
from workbench.domains.penalties import PENALTIES, HeadState, Penalty
from workbench.domains.stacked_networks import StackedNetworks, join_networks, start_networks

RATE = 5e-3  # of Adam
ANNEAL = 190 / 501  # of the steps pass before a penalty has its whole weight
ROWS = 20_000  # examples of all runs that are trained together at most, so that a layer fits into a cache
DECAY = 1e-3  # times the squared norm of all parameters


def train_stacked(
    method: str,
    drawn: Sequence[Environments],
    seeds: Sequence[int],
    weights: Sequence[float],
    *,
    width: int,
    steps: int,
    advance: Callable[[int], object] = lambda steps: None,
) -> StackedNetworks:
    """Train ``len(weights) * len(seeds)`` networks, those of the first weight first, by Adam on all examples.

    Each minimises the mean risk of its training environments, plus its decay, plus its weight times the
    penalty; for the first 190/501 of the steps the weight is 1, or less if it is less. A loss with a weight
    above 1 is divided by it: the recipe released with arXiv 2308.11778, which has it from IRM's. ERM has no
    penalty: the roots of its weights, over that of the first, multiply the decay, so that as much is tried.

    Parameters
    ----------
    method : str
        A name in ``PENALTIES``.
    drawn : sequence of Environments
        One for each seed.
    seeds : sequence of int
        Of the starts.
    weights : sequence of float
    width, steps : int
        Units of a hidden layer, and steps.
    advance : callable
        Told how many networks have done another step.

    Notes
    -----
    The runs share nothing: losses are summed, Adam works entry by entry. As many as fit are trained together.
    """
    penalised = method != "erm"
    decays = [DECAY if penalised else DECAY * math.sqrt(weight / weights[0]) for weight in weights]
    penalty = PENALTIES[method] if penalised else None
    runs = np.array(list(product(range(len(weights)), range(len(seeds)))))
    at_once = max(1, ROWS // drawn[0].train[1].numel())
    parts = []
    for group in np.array_split(runs, math.ceil(len(runs) / at_once)):
        inputs, targets = stacked([drawn[place].train for _, place in group])
        starts = [seeds[place] for _, place in group]
        networks = start_networks((inputs.shape[-1], width, width, drawn[0].classes), starts)
        wanted, decay = (torch.tensor([each[place] for place, _ in group]) for each in (weights, decays))
        _descend(networks, inputs, targets, penalty, wanted, decay, steps, partial(advance, len(group)))
        parts.append(networks)
    return join_networks(parts)


def _descend(
    networks: StackedNetworks,
    inputs: Tensor,
    targets: Tensor,
    penalty: Penalty | None,
    weights: Tensor,
    decays: Tensor,
    steps: int,
    advance: Callable[[], object],
) -> None:
    """Train in place; weights and decays (runs,) are those of each run."""
    for tensor in networks.tensors:
        tensor.requires_grad_()
    optimizer = torch.optim.Adam(networks.tensors, RATE)
    for step in range(steps):
        state = head_state(networks, inputs, targets)
        losses = state.risks().mean(-1) + decays * networks.squared_norms()
        if penalty is not None:
            now = weights if step >= round(ANNEAL * steps) else weights.clamp(max=1)
            losses = (losses + now * penalty(state)) / now.clamp(min=1)
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
        advance()
    for tensor in networks.tensors:
        tensor.requires_grad_(False)


def stacked(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Inputs and labels of all runs: (runs, …)."""
    inputs, targets = (torch.stack(each) for each in zip(*parts, strict=True))
    return inputs, targets


def head_state(networks: StackedNetworks, inputs: Tensor, targets: Tensor) -> HeadState:
    """What the networks make of inputs (runs, E, n, pixels) with labels (runs, E, n)."""
    features = networks.features(inputs.flatten(1, 2))
    logits = networks.logits(features)
    shape = targets.shape
    return HeadState(with_ones(features).view(*shape, -1), logits.view(*shape, logits.shape[-1]), targets)
