"""One layer of one forward pass: what methods need of it."""

import dataclasses
from collections.abc import Callable

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

    def maps(self, methods: list[Method], gradient: Tensor) -> tuple[dict[str, Tensor], bool]:
        """Maps (N, h, w) by method for a gradient like the activation, and whether it is constant over space.

        Methods that extract the same share it. Of a large batch, a few inputs are taken at a time.

        Raises
        ------
        ValueError
            If ``"cam"`` meets a gradient that is not constant over space.
        """
        g = on_grid(self.name, gradient, self.adapter)
        constant = spatially_constant(g)
        for method in methods:
            if method.gradient == "sum" and not constant:
                raise ValueError(
                    f"method {method.name!r} at layer {self.name!r}: the gradient varies over space, so "
                    "what follows is no average and linear layer; use 'grad_cam'"
                )
        few = max(1, _CACHED * len(g) // g.numel())
        entering = self.x if self.entering is None else self.entering
        if few >= len(g):
            return self._maps(methods, self.x, entering, g), constant
        parts = [
            self._maps(methods, *each)
            for each in zip(self.x.split(few), entering.split(few), g.split(few), strict=True)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}, constant

    def _maps(self, methods: list[Method], x: Tensor, entering: Tensor, g: Tensor) -> dict[str, Tensor]:
        shared: dict[tuple[str, str], Contribution] = {}
        found = {}
        for method in methods:
            key = method.extract, method.gradient
            if key not in shared:
                seen = entering if method.extract == REAL else x
                shared[key] = method.contribution(seen, g, self.module)
            found[method.name] = aggregate(shared[key], method.aggregate)
        return found

    def opposite_reasons(
        self, methods: list[Method], gradient: Tensor, found: dict[str, Tensor]
    ) -> dict[str, str]:
        """By method, why a map (N, h, w) is that of the other class, too, whose gradient is opposite."""
        turned, _ = self.maps(methods, -gradient)
        names = [method.name for method in methods]
        same = same_maps(torch.stack([found[n] for n in names]), torch.stack([turned[n] for n in names]))
        return {name: OPPOSITE if each else "" for name, each in zip(names, same.tolist(), strict=True)}

    def blind_reasons(self, methods: list[Method], raw: dict[str, Tensor]) -> dict[str, str]:
        """By method, why maps (N, T, h, w) know nothing of the class, where the gradient is flat."""
        entering = self.x if self.entering is None else self.entering
        g = flat_gradient(self.x)
        blind = methods
        for count in dict.fromkeys((1, len(g))):  # the first input acquits most
            if blind:
                others = self._maps(blind, self.x[:count], entering[:count], g[:count])
                alike = alike_maps(
                    torch.stack([raw[method.name][:count] for method in blind]),
                    torch.stack([others[method.name] for method in blind]),
                )
                blind = [method for method, each in zip(blind, alike.tolist(), strict=True) if each]
        return {method.name: blind_reason(method) for method in blind if raw[method.name].any()}


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
