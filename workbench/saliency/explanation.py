"""``explain``: maps of many methods at many layers from one forward and one backward pass."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.probes import refuse_training_mode
from workbench.saliency.averages import AVERAGES
from workbench.saliency.capture import Captured, capture
from workbench.saliency.combination import Combination, combine_layers, find_combination
from workbench.saliency.extraction import REAL
from workbench.saliency.layers import default_layers
from workbench.saliency.maps import SaliencyMap, SaliencyMaps
from workbench.saliency.methods import TRUE, Method, find_method
from workbench.saliency.places import Adapter, Place, on_grid
from workbench.saliency.rules import RULES, recorder
from workbench.saliency.scores import extreme_targets, read_targets, target_scores


def explain(
    model: nn.Module,
    inputs: Tensor,
    target: Any = None,
    methods: str | Method | Sequence[str | Method | tuple[str, str]] = ("gradient", "grad_cam", "norm_grad"),
    layers: str | Sequence[str] | None = None,
    score: str = "logit",
    combine: str | Combination | None = None,
    *,
    adapter: Adapter | None = None,
    keep_inputs: bool = True,
) -> SaliencyMaps:
    r"""Show where in each input a score has its reasons, by many methods and at many layers at once.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode. Parameters may be frozen, modules may work in place.
    inputs : Tensor (N, C, H, W)
        Or whatever else the model takes as its one argument.
    target : None, int, N ints, or (N, T)
        Classes; None is the predicted one. T targets share the forward pass.
    methods : str, Method, (extract, aggregate), or sequence of these
        Names of ``METHODS``, or points of the grid that have none.
    layers : str or sequence of str, optional
        Names from ``model.named_modules()`` or ``"input"``; by default those of :func:`default_layers`.
    score : {"logit", "probability", "loss"}
        What is differentiated; ``"loss"`` is the cross entropy with its sign turned.
    combine : {"sum", "product"} or Combination, optional
        Adds a map per method that is made of all layers.
    adapter : callable, optional
        Lays out (N, tokens, C) as (N, C, h, w), for layers that return tokens.
    keep_inputs : bool
        Keep the inputs in the result, for its pictures.

    Returns
    -------
    SaliencyMaps

    Raises
    ------
    ValueError
        If a name or target is unknown, a layer is not (N, C, h, w) or the score does not depend on it,
        ``"cam"`` meets a gradient that is not constant over space, or the model is in train mode.
    TypeError
        If an argument is of another kind.

    Notes
    -----
    Cost: one forward pass, and one backward pass per target down to the first of the layers, for all methods
    of the true gradient together; no gradient of a parameter is made. Each other rule costs its own backward
    passes. Without ``layers``, one more forward pass of one input. In half precision, maps are float32, made
    of half gradients. The inputs of a batch must not influence each other's scores.
    Source: Rebuffi, Fong, Ji, Vedaldi, CVPR 2020, arXiv:2004.02866.
    """
    refuse_training_mode(model)
    chosen = _read_methods(methods)
    combination = find_combination(combine)
    started = time.perf_counter()
    with torch.inference_mode(False), torch.no_grad():
        names = default_layers(model, inputs) if layers is None else _read_layers(layers)
        rules = tuple(dict.fromkeys(method.rule for method in chosen))
        real = any(method.extract == REAL for method in chosen)
        with recorder(rules) as operations:
            captured = capture(model, inputs, names, entering=names if real else ())
        targets = read_targets(target, captured.logits)
        asked = targets.shape[1]
        if combination is not None and combination.needs_extremes:
            targets = torch.cat([targets, extreme_targets(captured.logits)], dim=1)
        with torch.enable_grad():
            scores = target_scores(captured.logits, targets, score)
        averaging = 0
        places = _places(captured, adapter)
        size = tuple(inputs.shape[2:]) if inputs.dim() == 4 else None
        maps: list[SaliencyMap] = []
        for rule in rules:
            members = [method for method in chosen if method.rule == rule]
            here = places
            if rule == TRUE:
                gradients = _true_gradients(captured, scores, keep=len(rules) > 1)
            elif rule in AVERAGES:
                averaged = {name: AVERAGES[rule](model, inputs, targets, name, score) for name in names}
                here = [
                    replace(each, x=on_grid(each.name, averaged[each.name].x, adapter)) for each in places
                ]
                means = {name: each.gradient for name, each in averaged.items()}
                gradients = _each_target(means, targets.shape[1])
                averaging += sum(each.forwards for each in averaged.values())
            else:
                pseudo = RULES[rule](captured, targets, score, operations)
                gradients = _each_target(pseudo, targets.shape[1])
            maps += _maps(members, here, gradients, size)
        if combination is not None:
            maps += combine_layers(maps, combination, asked)
        maps.sort(key=lambda each: [method.name for method in chosen].index(each.method))
    return SaliencyMaps(
        maps=tuple(each.first_targets(asked) for each in maps),
        targets=targets[:, :asked],
        scores=scores[:, :asked].detach(),
        score=score,
        inputs=inputs.detach() if keep_inputs else None,
        forwards=1 + averaging + (1 / len(inputs) if layers is None else 0),
        backwards=(len([rule for rule in rules if rule not in AVERAGES]) + averaging) * targets.shape[1],
        seconds=time.perf_counter() - started,
    )


def _read_methods(methods: Any) -> list[Method]:
    chosen = [find_method(each) for each in ([methods] if isinstance(methods, str | Method) else methods)]
    names = [method.name for method in chosen]
    if not names:
        raise ValueError("methods is empty: name at least one")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"method {name!r} is given twice")
    return chosen


def _read_layers(layers: Any) -> tuple[str, ...]:
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names:
        raise ValueError("layers is empty: name at least one, or pass None for the usual ones")
    return names


def _places(captured: Captured, adapter: Adapter | None) -> list[Place]:
    places = []
    for name, activation in captured.activations.items():
        x = on_grid(name, activation.detach(), adapter)
        module = captured.modules.get(name)
        places.append(Place(name, module, x, captured.entering.get(name), adapter))
    return places


def _true_gradients(captured: Captured, scores: Tensor, *, keep: bool) -> Iterator[dict[str, Tensor]]:
    """Gradients by layer, target after target: a loop is as fast as one batched backward pass on a CPU."""
    tensors = list(captured.activations.values())
    count = scores.shape[1]
    for t in range(count):
        one = torch.zeros_like(scores)
        one[:, t] = 1
        retain = keep or t < count - 1
        found = torch.autograd.grad(scores, tensors, one, retain_graph=retain, allow_unused=True)
        for name, gradient in zip(captured.activations, found, strict=True):
            if gradient is None:
                raise ValueError(f"the score does not depend on layer {name!r}: name one that leads to it")
        yield dict(zip(captured.activations, found, strict=True))


def _each_target(gradients: dict[str, Tensor], count: int) -> Iterator[dict[str, Tensor]]:
    for t in range(count):
        yield {name: gradient[:, t] for name, gradient in gradients.items()}


def _maps(
    methods: list[Method],
    places: list[Place],
    gradients: Iterator[dict[str, Tensor]],
    size: tuple[int, ...] | None,
) -> list[SaliencyMap]:
    """Maps of methods that share their gradients, at all places and for all targets."""
    raw: dict[tuple[str, str], list[Tensor]] = {}
    varying: set[str] = set()
    for by_layer in gradients:
        for place in places:
            found, constant = place.maps(methods, by_layer[place.name])
            if not constant:
                varying.add(place.name)
            for name, values in found.items():
                raw.setdefault((name, place.name), []).append(values)
    maps = []
    for method in methods:
        for place in places:
            values = torch.stack(raw[method.name, place.name], dim=1)
            reason = "" if place.name in varying else place.blind_reason(method, values)
            maps.append(
                SaliencyMap(
                    method=method.name,
                    layer=place.name,
                    formula=method.formula,
                    raw=values,
                    size=size or tuple(values.shape[2:]),
                    class_blind=bool(reason),
                    reason=reason,
                )
            )
    return maps
