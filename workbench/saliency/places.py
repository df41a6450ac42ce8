"""One layer of one forward pass: what methods need of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from workbench.saliency.aggregation import Contribution, aggregate
from workbench.saliency.blindness import (
    OPPOSITE,
    alike_maps,
    blind_reason,
    flat_gradient,
    same_maps,
    spatially_constant,
)
from workbench.saliency.capture import INPUT
from workbench.saliency.extraction import REAL
from workbench.saliency.methods import Method

Adapter = Callable[[Tensor], Tensor]
_CACHED = 1 << 17  # numbers of an activation that several methods may read before the cache loses them


@dataclasses.dataclass(frozen=True)
class Place:
    """A layer and its activation, laid out on a grid.

    Attributes
    ----------
    name : str
    module : nn.Module or None
        None for the inputs.
    x : Tensor (N, C, h, w)
        In at least single precision.
    entering : Tensor or None
        What entered the module, where it was asked for.
    adapter : callable or None
        How its tokens are laid out.
    """

    name: str
    module: nn.Module | None
    x: Tensor
    entering: Tensor | None = None
    adapter: Adapter | None = None

    def gradient(self, values: Tensor) -> Tensor:
        """A gradient like the activation, laid out as that is: (N, C, h, w)."""
        return on_grid(self.name, values, self.adapter)

    def maps(self, methods: list[Method], g: Tensor) -> Tensor:
        """Maps (M, N, h, w) of M methods for a gradient (N, C, h, w).

        Methods that extract the same share it. Of a large batch, a few inputs are taken at a time.
        """
        few = max(1, _CACHED * len(g) // g.numel())
        entering = self.x if self.entering is None else self.entering
        if few >= len(g):
            return self._maps(methods, self.x, entering, g)
        parts = zip(self.x.split(few), entering.split(few), g.split(few), strict=True)
        return torch.cat([self._maps(methods, *part) for part in parts], dim=1)

    def _maps(self, methods: list[Method], x: Tensor, entering: Tensor, g: Tensor) -> Tensor:
        shared: dict[tuple[str, str], Contribution] = {}
        found = []
        with torch.inference_mode():  # calls are shorter than with no_grad
            for method in methods:
                key = method.extract, method.gradient
                if key not in shared:
                    seen = entering if method.extract == REAL else x
                    shared[key] = method.contribution(seen, g, self.module)
                found.append(aggregate(shared[key], method.aggregate))
        return torch.stack(found)

    def is_flat(self, methods: list[Method], g: Tensor) -> bool:
        """Whether a gradient is constant over space.

        Raises
        ------
        ValueError
            If it is not, and ``"cam"`` is asked for.
        """
        flat = spatially_constant(g)
        for method in methods:
            if method.gradient == "sum" and not flat:
                raise ValueError(
                    f"method {method.name!r} at layer {self.name!r}: the gradient varies over space, so "
                    "what follows is no average and linear layer; use 'grad_cam'"
                )
        return flat

    def opposite_reasons(self, methods: list[Method], g: Tensor, found: Tensor) -> dict[str, str]:
        """By method, why a map (M, N, h, w) is that of the other class, too, whose gradient is opposite."""
        same = same_maps(found, self.maps(methods, -g)).tolist()
        return {method.name: OPPOSITE for method, each in zip(methods, same, strict=True) if each}

    def trial(self) -> tuple["Place", Tensor]:
        """The first of the inputs, and a random gradient that is constant over space."""
        entering = None if self.entering is None else self.entering[:1]
        first = Place(self.name, self.module, self.x[:1], entering, self.adapter)
        return first, flat_gradient(first.x)

    def blind_reasons(self, methods: list[Method], raw: Tensor, tried: Tensor) -> dict[str, str]:
        """By method, why maps (M, N, T, h, w) know nothing of the class, where the gradient is flat.

        ``tried`` are the maps (M, 1, h, w) of the trial, which acquits most.
        """
        blind = [i for i, alike in enumerate(alike_maps(raw[:, :1], tried)) if alike]
        if blind and len(self.x) > 1:
            others = self.maps([methods[i] for i in blind], flat_gradient(self.x))
            blind = [i for i, alike in zip(blind, alike_maps(raw[blind], others), strict=True) if alike]
        return {methods[i].name: blind_reason(methods[i]) for i in blind if raw[i].any()}


def maps_together(methods: list[Method], pairs: list[tuple[Place, Tensor]]) -> list[Tensor]:
    """Maps (M, N, h, w) of M methods for each pair of a place and a gradient there.

    Small ones of one shape are made in one go: a call takes longer than its numbers.
    """
    kinds: dict[Any, list[int]] = {}
    for i, (place, g) in enumerate(pairs):
        joins = place.entering is None and g.numel() <= _CACHED
        kinds.setdefault((g.shape[1:], g.dtype, g.device) if joins else i, []).append(i)
    found: dict[int, Tensor] = {}
    for members in kinds.values():
        places, gradients = zip(*(pairs[i] for i in members), strict=True)
        if len(members) == 1:
            found[members[0]] = places[0].maps(methods, gradients[0])
            continue
        joined = Place("", None, torch.cat([place.x for place in places]))
        parts = joined.maps(methods, torch.cat(gradients)).split([len(g) for g in gradients], dim=1)
        found.update(zip(members, parts, strict=True))
    return [found[i] for i in range(len(pairs))]


def on_grid(name: str, values: Tensor, adapter: Adapter | None) -> Tensor:
    """An activation, or a gradient there, as (N, C, h, w) in at least single precision.

    The adapter sees what every layer returns, images that go in alone are as they should be.

    Raises
    ------
    ValueError
        If it is no grid, and no adapter makes it one.
    """
    if adapter is not None and not (name == INPUT and values.dim() == 4):
        values = adapter(values)
    if values.dim() != 4:
        raise ValueError(
            f"layer {name!r} returns {tuple(values.shape)}, not (N, C, h, w): name one that does, or pass an "
            "adapter that lays tokens out on a grid"
        )
    return values.float() if values.element_size() < 4 else values
