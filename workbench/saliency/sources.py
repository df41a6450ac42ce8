"""Where gradients come from: the true backward pass, one by another rule, or an average over many passes."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from workbench.saliency.averages import AVERAGES
from workbench.saliency.capture import Captured
from workbench.saliency.methods import TRUE
from workbench.saliency.places import Place, on_grid
from workbench.saliency.rules import RECORDING, RULES

ByLayer = dict[str, Tensor]
RULE_NAMES = (TRUE, *RULES, *AVERAGES)


@dataclasses.dataclass(frozen=True)
class Run:
    """One forward pass and what is asked of it.

    Attributes
    ----------
    model : nn.Module
    inputs : Tensor
    captured : Captured
    operations : Any
        What the recorder of the rules noted.
    places : list of Place
    targets, scores : Tensor (N, T)
    score : str
    """

    model: nn.Module
    inputs: Tensor
    captured: Captured
    operations: Any
    places: list[Place]
    targets: Tensor
    scores: Tensor
    score: str


@dataclasses.dataclass(frozen=True)
class Source:
    """Gradients of one rule.

    Attributes
    ----------
    places : list of Place
        What they belong to.
    gradients : iterator of dict
        By layer, target after target.
    forwards, backwards : int
        Passes over all inputs, without the forward pass of the run.
    notes : dict of str
        By layer, what is to be known of the gradients there.
    """

    places: list[Place]
    gradients: Iterator[ByLayer]
    forwards: int
    backwards: int
    notes: dict[str, str] = dataclasses.field(default_factory=dict)


def find_source(rule: str, run: Run, *, keep: bool) -> Source:
    """Return the gradients of one rule.

    Parameters
    ----------
    rule : str
        ``"true"``, or a name of ``RULES`` or ``AVERAGES``.
    run : Run
    keep : bool
        Whether another rule needs the graph of the forward pass later.

    Raises
    ------
    ValueError
        If the score does not depend on a layer, or the rule does not apply.
    """
    count = run.targets.shape[1]
    if rule == TRUE:
        return Source(run.places, _true_gradients(run.captured, run.scores, keep=keep), 0, count)
    if rule in AVERAGES:
        return _average(rule, run)
    pseudo = RULES[rule](run.captured, run.targets, run.score, run.operations)
    extra = int(rule in RECORDING)  # a forward and for each target a backward pass of the positive weights
    notes = {name: _lost(rule, p) for name, p in pseudo.items()} if rule in RECORDING else {}
    return Source(run.places, _each_target(pseudo, count), extra, (1 + extra) * count, notes)


def _average(rule: str, run: Run) -> Source:
    places, means, notes, forwards, backwards = [], {}, {}, 0, 0
    for place in run.places:
        found = AVERAGES[rule](run.model, run.inputs, run.targets, place.name, run.score)
        places.append(dataclasses.replace(place, x=on_grid(place.name, found.x, place.adapter)))
        means[place.name] = found.gradient
        notes[place.name] = found.note
        forwards, backwards = forwards + found.forwards, backwards + found.backwards
    return Source(places, _each_target(means, run.targets.shape[1]), forwards, backwards, notes)


def _lost(rule: str, p: Tensor) -> str:
    """How much of the winning probability (N, T, ...), which starts as 1, gets to a layer."""
    if rule != "excitation":
        return "the difference of two maps, of which each loses what 'excitation' says of its own"
    mass = p.flatten(2).sum(dim=2, dtype=torch.float64)
    low, mean, high = (100 * each.item() for each in (mass.min(), mass.mean(), mass.max()))
    return (
        f"{mean:.3g} % of the winning probability gets here ({low:.3g} to {high:.3g} %); the rest is lost at "
        "units that are active by a bias or shift alone"
    )


def _true_gradients(captured: Captured, scores: Tensor, *, keep: bool) -> Iterator[ByLayer]:
    """Gradients of each target: a loop is as fast as one batched backward pass on a CPU."""
    tensors = list(captured.activations.values())
    count = scores.shape[1]
    for t in range(count):
        one = torch.zeros_like(scores)
        one.select(1, t).fill_(1)  # several times as fast as one[:, t] = 1
        retain = keep or t < count - 1
        found = torch.autograd.grad(scores, tensors, one, retain_graph=retain, allow_unused=True)
        for name, gradient in zip(captured.activations, found, strict=True):
            if gradient is None:
                raise ValueError(f"the score does not depend on layer {name!r}: name one that leads to it")
        yield dict(zip(captured.activations, found, strict=True))


def _each_target(gradients: ByLayer, count: int) -> Iterator[ByLayer]:
    for t in range(count):
        yield {name: gradient[:, t] for name, gradient in gradients.items()}
