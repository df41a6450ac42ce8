"""What an operator was made from, to be recognised at each product."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from workbench.problem import Problem

_Name = TypeVar("_Name")
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
        self._state = _marks(problem.state())
        self._batches: dict[int, Tensor] = {}
        self._batch_marks: dict[int, _Mark] = {}

    def hold(self, batch: Iterable[Tensor]) -> None:
        """Watch the tensors of a batch, too."""
        added = dict(enumerate(batch, start=len(self._batches)))
        self._batches |= added
        self._batch_marks |= _marks(added)

    def is_current(self) -> bool:
        """Whether all is where and as it was; False if it was merely rewritten with the same content.

        Raises
        ------
        ValueError
            If the content of a tensor changed.
        """
        now = _marks(self._problem.state())
        for name in self._state.keys() | now.keys():
            if name not in now or name not in self._state or now[name][2] != self._state[name][2]:
                raise ValueError(
                    f"{name!r} of the model changed after this operator was made, whose products would mix "
                    "two points: make a new operator"
                )
        batches = _marks(self._batches)
        if any(batches[place][2] != mark[2] for place, mark in self._batch_marks.items()):
            raise ValueError("a batch changed after this operator was made: make a new operator")
        return now == self._state and batches == self._batch_marks


@torch.no_grad()
def _marks(tensors: Mapping[_Name, Tensor]) -> dict[_Name, _Mark]:
    detached = [tensor.detach() for tensor in tensors.values()]
    sums = [sum_bits(tensor) for tensor in detached]
    devices = {each.device for each in sums}
    # One transfer for all: on a GPU each would wait for the work before it.
    totals = torch.stack(sums).tolist() if len(devices) == 1 else [int(each) for each in sums]
    return {
        name: (_pointer(tensor), 0 if tensor.is_inference() else tensor._version, total)
        for name, tensor, total in zip(tensors, detached, totals, strict=True)
    }


def _pointer(tensor: Tensor) -> int:
    return tensor.data_ptr() if tensor.layout == torch.strided else 0


def sum_bits(tensor: Tensor) -> Tensor:
    """Sum () of the tensor's bytes, eight at a time and modulo 2⁶⁴, in one pass."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return torch.zeros((), dtype=torch.int64)
    octets = tensor.contiguous().reshape(-1).view(torch.uint8)
    whole = len(octets) // 8 * 8
    aligned = octets[:whole] if octets.data_ptr() % 8 == 0 else octets[:whole].clone()
    return aligned.view(torch.int64).sum() + octets[whole:].sum()
