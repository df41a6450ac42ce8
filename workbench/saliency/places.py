"""One layer of one forward pass: what methods need of it."""

import dataclasses
from collections.abc import Callable

from torch import Tensor, nn

from workbench.saliency.aggregation import Contribution, aggregate
from workbench.saliency.blindness import blind_reason, spatially_constant
from workbench.saliency.extraction import REAL
from workbench.saliency.methods import Method

Adapter = Callable[[Tensor], Tensor]


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

        Methods that extract the same share it.

        Raises
        ------
        ValueError
            If ``"cam"`` meets a gradient that is not constant over space.
        """
        g = on_grid(self.name, gradient, self.adapter)
        constant = spatially_constant(g)
        shared: dict[tuple[str, str], Contribution] = {}
        found = {}
        for method in methods:
            if method.gradient == "sum" and not constant:
                raise ValueError(
                    f"method {method.name!r} at layer {self.name!r}: the gradient varies over space, so "
                    "what follows is no average and linear layer; use 'grad_cam'"
                )
            key = method.extract, method.gradient
            if key not in shared:
                shared[key] = method.contribution(self._seen_by(method), g, self.module)
            found[method.name] = aggregate(shared[key], method.aggregate)
        return found, constant

    def blind_reason(self, method: Method, raw: Tensor) -> str:
        """Why its maps (N, T, h, w) know nothing of the class, if the gradient is constant over space."""
        return blind_reason(method, self._seen_by(method), self.x, self.module, raw)

    def _seen_by(self, method: Method) -> Tensor:
        return self.x if method.extract != REAL or self.entering is None else self.entering


def on_grid(name: str, values: Tensor, adapter: Adapter | None) -> Tensor:
    """An activation, or a gradient there, as (N, C, h, w) in at least single precision.

    Raises
    ------
    ValueError
        If it is no grid, and no adapter makes it one.
    """
    if values.dim() != 4 and adapter is not None:
        values = adapter(values)
    if values.dim() != 4:
        raise ValueError(
            f"layer {name!r} returns {tuple(values.shape)}, not (N, C, h, w): name one that does, or pass an "
            "adapter that lays tokens out on a grid"
        )
    return values.float() if values.element_size() < 4 else values
