"""What a graph would hold, and what products with it would cost, counted before anything is built."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from workbench.batches import Batch, map_tensors, tensors
from workbench.problem import Parameters

# Builds the graph of a batch at these parameters.
Build = Callable[[Parameters, Batch], Any]
Result = TypeVar("Result")


def graph_bytes(build: Build, parameters: Parameters, batch: Batch, held: Iterable[Tensor]) -> int:
    """Bytes that the graph of a batch keeps, beyond what is there anyhow.

    Parameters
    ----------
    build : callable
    parameters : dict of Tensor
        Leaves.
    batch : any
    held : iterable of Tensor
        What is there anyhow: the model's parameters and buffers; the batch counts as such, too.
    """
    return imitate(partial(_count, build), parameters, batch, held)


def imitate(
    work: Callable[[Parameters, Batch, list[Tensor]], Result],
    parameters: Parameters,
    batch: Batch,
    held: Iterable[Tensor],
) -> Result:
    """Return ``work(parameters, batch, all tensors held)`` on tensors without content.

    So nothing of their size is allocated, and nothing computed. A model that such tensors cannot pass,
    because what it does depends on the numbers, does the real work instead, once.
    """
    with contextlib.suppress(Exception), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = {id(tensor): mode.from_tensor(tensor) for tensor in held}
        leaves = {
            name: fakes.get(id(leaf), mode.from_tensor(leaf)).detach().requires_grad_()
            for name, leaf in parameters.items()
        }
        inputs = map_tensors(mode.from_tensor, batch)
        return work(leaves, inputs, [*fakes.values(), *leaves.values(), *tensors(inputs)])
    return work(parameters, batch, [*held, *parameters.values(), *tensors(batch)])


def has_content(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers that can be asked for."""
    return not isinstance(tensor, FakeTensor)


def _count(build: Build, parameters: Parameters, batch: Batch, held: list[Tensor]) -> int:
    saved: list[Tensor] = []  # held on to: a freed storage's address would be given to another
    with _saving(saved):
        kept = build(parameters, batch)
    known = {_storage(tensor) for tensor in held}
    sizes = {_storage(tensor): tensor.untyped_storage().nbytes() for tensor in saved}
    del kept
    return sum(size for storage, size in sizes.items() if storage not in known)


@contextlib.contextmanager
def _saving(saved: list[Tensor]) -> Iterator[None]:
    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided:
            saved.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
