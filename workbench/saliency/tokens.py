"""Adapters from tokens to a grid: where in the image a vision transformer's tokens belong."""

import dataclasses
import math
from typing import Any

from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.saliency.places import Adapter


@dataclasses.dataclass(frozen=True)
class TokenGrid:
    """Lays tokens (N, T, C) out as (N, C, h, w): row by row, as patches are usually cut; a grid stays one.

    Attributes
    ----------
    leading : int
        Tokens before the first patch, which belong to no place and are left out: a class token, registers.
    shape : (int, int), optional
        Rows h and columns w of the patches; by default a square.
    """

    leading: int = 0
    shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_count("leading", self.leading, low=0)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Lay out tokens (N, T, C); (N, C, h, w), as a convolution in front of them returns, stays.

        Raises
        ------
        ValueError
            If they have other dimensions, or their number fills no such grid.
        """
        if tokens.dim() == 4:
            return tokens
        if tokens.dim() != 3:
            raise ValueError(f"tokens have the shape (N, T, C), not {tuple(tokens.shape)}")
        patches = tokens[:, self.leading :]
        rows, columns = self.shape or self._square(patches.shape[1])
        if not patches.shape[1] or rows * columns != patches.shape[1]:
            wanted = f"{rows} × {columns} patches" if self.shape else "a square of patches"
            raise ValueError(
                f"{tokens.shape[1]} tokens, {self.leading} of them leading, are not {wanted}: pass "
                "TokenGrid(leading=, shape=(rows, columns))"
            )
        return patches.transpose(1, 2).unflatten(2, (rows, columns))

    @staticmethod
    def _square(count: int) -> tuple[int, int]:
        side = math.isqrt(count)
        return side, side


def channels_first(values: Tensor) -> Tensor:
    """Turn (N, h, w, C), as windowed transformers return it, into (N, C, h, w).

    Raises
    ------
    ValueError
        If it has other dimensions.
    """
    if values.dim() != 4:
        raise ValueError(f"values have shape {tuple(values.shape)}, not (N, h, w, C)")
    return values.permute(0, 3, 1, 2)


ADAPTERS: dict[str, Adapter] = {
    "patches": TokenGrid(),
    "vit-with-class-token": TokenGrid(leading=1),
    "channels-last": channels_first,
}


def find_adapter(adapter: Any, inputs: Tensor | None = None) -> Adapter | None:
    """Return an adapter by name, or a function from (N, T, C) to (N, C, h, w) as it is; None stays None.

    Raises
    ------
    ValueError
        If the name is none of ``ADAPTERS``, or a square is to be made of images (N, C, H, W) that are none.
    TypeError
        If it is neither.
    """
    if isinstance(adapter, str):
        check_choice("adapter", adapter, tuple(ADAPTERS))
        adapter = ADAPTERS[adapter]
    if adapter is not None and not callable(adapter):
        raise TypeError(
            f"adapter is a {type(adapter).__name__}: pass a name or a function of tokens (N, T, C)"
        )
    if isinstance(adapter, TokenGrid) and adapter.shape is None and inputs is not None and inputs.dim() == 4:
        height, width = inputs.shape[2:]
        if height != width:
            raise ValueError(
                f"the patches of images of {height} × {width} pixels make no square: pass "
                f"TokenGrid(leading={adapter.leading}, shape=(rows, columns))"
            )
    return adapter
