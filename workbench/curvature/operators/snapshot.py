"""What an operator was made from, to be recognised at each product."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from workbench.problem import Problem

_Mark = tuple[int, int, int]  # data pointer, version, sum of the bits


class Snapshot:
    """The parameters, buffers and kept batches of a problem as they were.

    A retained graph reads its model's tensors where they are: changed in place, they give products of no
    function at all. Torch notices that by the version of a tensor, which writing through ``.data`` or NumPy
    leaves as it is, so the bits are summed too, at a small part of the price of a product.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: "Problem") -> None:
        self._problem = problem
        self._state = {name: _mark(tensor) for name, tensor in problem.state().items()}
        self._batches: list[tuple[Tensor, _Mark]] = []

    def hold(self, batch: Iterable[Tensor]) -> None:
        """Watch the tensors of a batch, too."""
        self._batches.extend((tensor, _mark(tensor)) for tensor in batch)

    def is_current(self) -> bool:
        """Whether all is where and as it was; False if it was merely rewritten with the same content.

        Raises
        ------
        ValueError
            If the content of a tensor changed.
        """
        now = {name: _mark(tensor) for name, tensor in self._problem.state().items()}
        for name in self._state.keys() | now.keys():
            if name not in now or name not in self._state or now[name][2] != self._state[name][2]:
                raise ValueError(
                    f"{name!r} of the model changed after this operator was made, whose products would mix "
                    "two points: make a new operator"
                )
        for tensor, mark in self._batches:
            if _mark(tensor)[2] != mark[2]:
                raise ValueError("a batch changed after this operator was made: make a new operator")
        return now == self._state and all(_mark(tensor) == mark for tensor, mark in self._batches)


@torch.no_grad()
def _mark(tensor: Tensor) -> _Mark:
    tensor = tensor.detach()
    version = 0 if tensor.is_inference() else tensor._version
    return tensor.data_ptr() if tensor.layout == torch.strided else 0, version, sum_bits(tensor)


def sum_bits(tensor: Tensor) -> int:
    """Sum of the tensor's bytes, eight at a time and modulo 2⁶⁴, in one pass."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return 0
    octets = tensor.contiguous().reshape(-1).view(torch.uint8)
    whole = len(octets) // 8 * 8
    aligned = octets[:whole] if octets.data_ptr() % 8 == 0 else octets[:whole].clone()
    return int(aligned.view(torch.int64).sum()) + int(octets[whole:].sum())
