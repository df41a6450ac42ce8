"""``explain``: maps of many methods at many layers from one forward and one backward pass."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.choices import check_choice
from workbench.probes import refuse_training_mode
from workbench.saliency.averages import AVERAGES
from workbench.saliency.capture import Captured, capture
from workbench.saliency.combination import Combination, combine_layers, find_combination
from workbench.saliency.extraction import REAL
from workbench.saliency.layer_inputs import check_rows, read_inputs
from workbench.saliency.layers import default_layers
from workbench.saliency.maps import SaliencyMap, SaliencyMaps
from workbench.saliency.methods import TRUE, Method, find_method
from workbench.saliency.places import Adapter, Place, maps_together, on_grid
from workbench.saliency.rules import recorder
from workbench.saliency.scores import extreme_targets, read_targets, target_scores
from workbench.saliency.sources import RULE_NAMES, Run, Source, find_source
from workbench.saliency.tokens import find_adapter

# Rules and scores with which the gradients of two classes are opposite up to a factor.
_OPPOSED = {TRUE: ("probability", "loss"), **dict.fromkeys(AVERAGES, ("probability",))}


def explain(
    model: nn.Module,
    inputs: Tensor,
    target: Any = None,
    methods: str | Method | Sequence[str | Method | tuple[str, str]] = ("gradient", "grad_cam", "norm_grad"),
    layers: str | Sequence[str] | None = None,
    score: str = "logit",
    combine: str | Combination | None = None,
    *,
    adapter: str | Adapter | None = None,
    keep_inputs: bool = True,
) -> SaliencyMaps:
    r"""Show where in each input a score has its reasons, by many methods and at many layers at once.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode. Parameters may be frozen, modules may work in place.
    inputs : Tensor (N, C, H, W)
        Or any other tensor that the model takes as its one argument. One picture is a batch of one,
        ``picture[None]``.
    target : None, int, N ints, or (N, T)
        Classes; None is the predicted one. T targets share the forward pass.
    methods : str, Method, or sequence of str, Method and (extract, aggregate)
        Names of ``METHODS``, or points of the grid that have none.
    layers : str or sequence of str, optional
        Names from ``model.named_modules()`` or ``"input"``; by default those of :func:`default_layers`.
    score : {"logit", "probability", "loss"}
        What is differentiated; ``"loss"`` is the cross entropy with its sign turned.
    combine : {"sum", "product"} or Combination, optional
        Adds a map per method that is made of all layers.
    adapter : str or callable, optional
        Lays out what a layer returns, such as (N, tokens, C) or (N, h, w, C), as (N, C, h, w): a name of
        ``ADAPTERS``, a :class:`TokenGrid`, or a function. It sees all layers but images that go in.
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
    inputs = read_inputs(inputs)
    _check_model(model)
    refuse_training_mode(model)
    chosen = _read_methods(methods)
    combination = find_combination(combine)
    lay_out = find_adapter(adapter, inputs)
    started = time.perf_counter()
    with torch.inference_mode(False), torch.no_grad():
        names = default_layers(model, inputs) if layers is None else _read_layers(layers)
        if combination is not None and combination.name in names:
            raise ValueError(f"layer {combination.name!r} has the name of the combination: name others")
        rules = tuple(dict.fromkeys(method.rule for method in chosen))
        real = any(method.extract == REAL for method in chosen)
        with recorder(rules, inputs) as operations:
            captured = capture(model, inputs, names, entering=names if real else ())
        targets = read_targets(target, captured.logits)
        asked = targets.shape[1]
        if combination is not None and combination.needs_extremes:
            targets = torch.cat([targets, extreme_targets(captured.logits)], dim=1)
        with torch.enable_grad():
            scores = target_scores(captured.logits, targets, score)
        places = _places(captured, lay_out, len(inputs))
        run = Run(model, inputs, captured, operations, places, targets, scores, score)
        size = tuple(inputs.shape[2:]) if inputs.dim() == 4 else None
        two = captured.logits.shape[1] == 2
        maps: list[SaliencyMap] = []
        forwards, backwards = 1.0, 0
        for rule in rules:
            source = find_source(rule, run, keep=len(rules) > 1)
            opposed = two and score in _OPPOSED.get(rule, ())
            maps += _maps([method for method in chosen if method.rule == rule], source, size, opposed)
            forwards, backwards = forwards + source.forwards, backwards + source.backwards
        if combination is not None:
            maps += combine_layers(maps, combination, asked)
        order = [method.name for method in chosen]
        maps.sort(key=lambda each: order.index(each.method))
        kept = inputs.clone() if keep_inputs else None
    return SaliencyMaps(
        maps=tuple(maps if asked == targets.shape[1] else (each.first_targets(asked) for each in maps)),
        targets=targets[:, :asked],
        scores=scores[:, :asked].detach(),
        score=score,
        inputs=kept,
        forwards=forwards + (1 / len(inputs) if layers is None else 0),
        backwards=backwards,
        seconds=time.perf_counter() - started,
    )


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        hint = ": pass its .model" if isinstance(getattr(model, "model", None), nn.Module) else ""
        raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module{hint}")


def _read_methods(methods: Any) -> list[Method]:
    chosen = [find_method(each) for each in ([methods] if isinstance(methods, str | Method) else methods)]
    names = [method.name for method in chosen]
    if not names:
        raise ValueError("methods is empty: name at least one")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"method {name!r} is given twice")
    for method in chosen:
        check_choice("rule", method.rule, RULE_NAMES)
    return chosen


def _read_layers(layers: Any) -> tuple[str, ...]:
    if isinstance(layers, nn.Module) or not isinstance(layers, Iterable):
        raise TypeError(f"layers is a {type(layers).__name__}: pass names from model.named_modules()")
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names:
        raise ValueError("layers is empty: name at least one, or pass None for the usual ones")
    return names


def _places(captured: Captured, adapter: Adapter | None, count: int) -> list[Place]:
    places = []
    for name, activation in captured.activations.items():
        x = check_rows(name, on_grid(name, activation.detach(), adapter), count)
        module = captured.modules.get(name)
        places.append(Place(name, module, x, captured.entering.get(name), adapter))
    return places


def _maps(
    methods: list[Method], source: Source, size: tuple[int, ...] | None, opposed: bool
) -> list[SaliencyMap]:
    """Maps of methods that share their gradients, at all places and for all targets.

    ``opposed`` says that there are two classes, whose gradients are opposite up to a factor.
    """
    maps = []
    for place, raw, reasons in zip(source.places, *_raw_maps(methods, source, opposed), strict=True):
        note = source.notes.get(place.name, "")
        shown = size or tuple(raw.shape[3:])
        for method, values in zip(methods, raw.unbind(), strict=True):
            reason = reasons.get(method.name, "")
            maps.append(
                SaliencyMap(
                    method.name, place.name, method.formula, values, shown, bool(reason), reason, note
                )
            )
    return maps


def _raw_maps(
    methods: list[Method], source: Source, opposed: bool
) -> tuple[list[Tensor], list[dict[str, str]]]:
    """By place, the maps (M, N, T, h, w) of M methods, and why some of these know nothing of the class."""
    places = source.places
    parts: list[list[Tensor]] = []  # by target and place
    reasons: list[dict[str, str]] = [{} for _ in places]
    tried: dict[str, Tensor] = {}  # maps of the trial by layer, while its gradients are flat
    for by_layer in source.gradients:
        pairs = [(place, place.gradient(by_layer[place.name])) for place in places]
        flat = [place for place, g in pairs if place.is_flat(methods, g)]
        if parts:
            tried = {place.name: tried[place.name] for place in flat if place.name in tried}
            parts.append(maps_together(methods, pairs))
            continue
        found = maps_together(methods, [*pairs, *(place.trial() for place in flat)])
        parts.append(found[: len(places)])
        tried = dict(zip((place.name for place in flat), found[len(places) :], strict=True))
        if opposed:
            reasons = [
                place.opposite_reasons(methods, g, values)
                for (place, g), values in zip(pairs, parts[0], strict=True)
            ]
    raw = [
        torch.stack(each, dim=2) if len(each) > 1 else each[0].unsqueeze(2)
        for each in zip(*parts, strict=True)
    ]
    for i, place in enumerate(places):
        if place.name in tried:
            reasons[i] = reasons[i] | place.blind_reasons(methods, raw[i], tried[place.name])
    return raw, reasons
