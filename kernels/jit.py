"""``kernel``: marks a Triton kernel without importing triton, which is needed at its first launch."""

import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.kernels.dispatch import interpreting

if TYPE_CHECKING:
    from torch import Tensor

# What a kernel's file knows of triton.language until then: the annotation of its compile-time arguments.
tl: Any = types.SimpleNamespace(constexpr="constexpr")


class Kernel:
    """A Triton kernel, or a function that kernels call.

    ``kernel[grid](*arguments, num_warps=4)`` launches it as triton does. The function is compiled in a scope
    of its own, in which ``tl`` is the real ``triton.language``, and numbers of its file, and tuples of them,
    are constants; that of its file stays as it is.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    @functools.cached_property
    def jitted(self) -> Any:
        """What ``triton.jit`` makes of the function: to be compiled, or interpreted if that is on."""
        import triton
        import triton.language

        code = self.function.__code__
        scope = {**self.function.__globals__, "tl": triton.language}
        for name in code.co_names:
            value = scope.get(name)
            if isinstance(value, Kernel):
                scope[name] = value.jitted
            elif isinstance(value, int | float | tuple) and not interpreting():
                scope[name] = triton.language.constexpr(value)
        clone = types.FunctionType(code, scope, code.co_name, self.function.__defaults__)
        return triton.jit(functools.update_wrapper(clone, self.function))

    def __call__(self, *arguments: Any) -> Any:
        """Refuse: only a kernel can call it, and what it calls then is ``jitted``."""
        raise TypeError(f"{self.function.__name__} is in Triton's language: launch it on a grid")

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        """Return the launcher on a grid of programs, whose first argument is a tensor."""
        import torch

        def launch(first: "Tensor", *others: Any, **options: Any) -> None:
            with torch.cuda.device_of(first):  # triton launches on the current GPU, wherever its tensors are
                self.jitted[grid](first, *others, **options)

        return launch


def kernel(function: Callable[..., Any]) -> Kernel:
    """Decorate a function in Triton's language."""
    return Kernel(function)


def blocks(length: int, block: int) -> int:
    """Return the number of blocks that cover a length."""
    return -(-length // block)
