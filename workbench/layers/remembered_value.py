"""``RememberedValue``: what was computed of tensors, for as long as none of them has changed."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (Tensor, nn.Parameter)


class RememberedValue:
    """A tensor that is computed anew only when one of the tensors it is made of has changed.

    A change is another tensor, other memory, or an operation in place, which PyTorch counts. It does not
    count those through ``.data``: :meth:`forget` after one. Copies, also those in files, remember nothing.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Compute at the next call whatever happens."""
        self._sources: tuple[weakref.ref[Tensor], ...] = ()
        self._state: list[tuple[int, int]] = []
        self._value: Tensor | None = None

    def get(self, sources: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """Return what was computed last, or ``compute()`` if a source has changed since.

        Nothing is remembered while PyTorch traces or transforms, when tensors are no plain ones.
        """
        if _abstract() or not all(type(each) in _PLAIN and not each.is_inference() for each in sources):
            return compute()
        state = [(source.data_ptr(), source._version) for source in sources]
        same = len(self._sources) == len(sources) and all(
            known() is source for known, source in zip(self._sources, sources, strict=True)
        )
        if self._value is None or not same or state != self._state:
            value = compute()
            if type(value) not in _PLAIN:  # such as a fake one, which stands for its shape
                return value
            self._sources = tuple(weakref.ref(source) for source in sources)
            self._state, self._value = state, value
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


def _abstract() -> bool:
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
