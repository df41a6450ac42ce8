"""``explain``: maps of many methods at many layers from one forward and one backward pass."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.probes import refuse_training_mode
from workbench.saliency.capture import Captured, capture
from workbench.saliency.combination import find_combination
from workbench.saliency.layers import default_layers
from workbench.saliency.maps import SaliencyMap, SaliencyMaps
from workbench.saliency.methods import TRUE, Method, find_method
from workbench.saliency.rules import RULES
from workbench.saliency.scores import read_targets, target_scores

Adapter = Callable[[Tensor], Tensor]


def explain(
    model: nn.Module,
    inputs: Tensor,
    target: Any = None,
    methods: Sequence[str | Method | tuple[str, str]] | str = ("gradient", "grad_cam", "norm_grad"),
    layers: Sequence[str] | str | None = None,
    score: str = "logit",
    combine: Any = None,
    *,
    adapter: Adapter | None = None,
) -> SaliencyMaps:
    """Explain."""
    refuse_training_mode(model)
    chosen = [find_method(each) for each in ([methods] if isinstance(methods, str | Method) else methods)]
    names = (layers,) if isinstance(layers, str) else tuple(layers or default_layers(model, inputs))
    find_combination(combine)
    started = time.perf_counter()
    captured = capture(model, inputs, names)
    targets = read_targets(target, captured.logits)
    with torch.enable_grad():
        scores = target_scores(captured.logits, targets, score)
    raw: dict[tuple[str, str], list[Tensor]] = {}
    for t in range(targets.shape[1]):
        gradients = _gradients(captured, scores, t, last=t == targets.shape[1] - 1)
        for method in chosen:
            if method.rule == TRUE:
                for name in names:
                    x, g = captured.activations[name].detach(), gradients[name]
                    raw.setdefault((method.name, name), []).append(method.map_of(*_grid(name, x, g, adapter)))
    size = tuple(inputs.shape[2:]) if inputs.dim() == 4 else None
    maps = []
    for method in chosen:
        if method.rule != TRUE:
            pairs = RULES[method.rule](model, inputs, targets, names)
            for name, (x, g) in pairs.items():
                raw[method.name, name] = [
                    method.map_of(*_grid(name, x, g[:, t], adapter)) for t in range(g.shape[1])
                ]
        for name in names:
            stacked = torch.stack(raw[method.name, name], dim=1)
            maps.append(
                SaliencyMap(method.name, name, method.formula, stacked, size or tuple(stacked.shape[2:]))
            )
    seconds = time.perf_counter() - started
    return SaliencyMaps(
        tuple(maps), targets, scores.detach(), score, inputs.detach(), 1, targets.shape[1], seconds
    )


def _gradients(captured: Captured, scores: Tensor, t: int, *, last: bool) -> dict[str, Tensor]:
    """Gradients by layer of the scores of target t."""
    one = torch.zeros_like(scores)
    one[:, t] = 1
    tensors = list(captured.activations.values())
    found = torch.autograd.grad(scores, tensors, one, retain_graph=not last)
    return dict(zip(captured.activations, found, strict=True))


def _grid(name: str, x: Tensor, g: Tensor, adapter: Adapter | None) -> tuple[Tensor, Tensor]:
    if x.dim() != 4 and adapter is not None:
        x, g = adapter(x), adapter(g)
    if x.dim() != 4:
        raise ValueError(
            f"layer {name!r} returns {tuple(x.shape)}, not (N, C, h, w): name one that does, or pass an adapter "
            "that lays tokens out on a grid"
        )
    return x, g
