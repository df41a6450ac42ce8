"""``adapted`` and ``fine_tune``: a network made ready to adapt, and its training."""

import copy
import time
from typing import Literal

import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from workbench.adaptation.tasks import Examples
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.layers import apply_dora, apply_lora
from workbench.training import Minibatches, train

METHODS = ("full", "lora", "dora", "dora-exact")
METHOD_COLORS = dict(zip(METHODS, (ORANGE, GREEN, BLUE, VERMILION), strict=True))
OPTIMIZERS = ("adamw", "sgd")
Optimizer = Literal["adamw", "sgd"]
_BATCH = 64


def adapted(network: nn.Module, method: str, rank: int, seed: int) -> nn.Module:
    """Return a copy whose trainable parameters are those of a method; its outputs are those of ``network``.

    ``"full"``: all parameters. ``"lora"``, ``"dora"``: an update of this rank for every linear layer, scale
    1, all else frozen. ``"dora-exact"``: the same with the norm differentiated, which DoRA takes as a
    constant. The seed is that of the matrices A; torch's global generator is left alone.
    """
    copied = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if method == "lora":
            apply_lora(copied, "*", rank)
        elif method != "full":
            apply_dora(copied, "*", rank, constant_norm=method == "dora")
    return copied


def trained_count(network: nn.Module) -> int:
    """Return how many numbers a training changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def fine_tune(
    network: nn.Module, examples: Examples, *, optimizer: str, rate: float, epochs: int, seed: int
) -> float:
    """Train in place by minibatches of 64, the rate up and down in one cycle; return the seconds of a step.

    No weight decay: it would pull the update to 0 in some methods, and the network in another.

    Raises
    ------
    KeyboardInterrupt
        If the training was interrupted.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    chosen = AdamW(parameters, rate, weight_decay=0) if optimizer == "adamw" else SGD(parameters, rate)
    batches = Minibatches(*examples, _BATCH, seed=seed)
    steps = epochs * len(batches)
    started = time.perf_counter()
    history = train(
        network,
        nn.CrossEntropyLoss(),
        batches,
        chosen,
        epochs=epochs,
        scheduler=OneCycleLR(chosen, max_lr=rate, total_steps=steps),
        title="adaptation",
    )
    if not history.completed:
        raise KeyboardInterrupt("an adaptation was interrupted")
    return (time.perf_counter() - started) / steps
