"""What a retained graph would hold, counted before it is built."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from workbench.batches import Batch, map_tensors, tensors
from workbench.problem import Parameters

# Builds the graph of a batch at these parameters.
Build = Callable[[Parameters, Batch], Any]


def graph_bytes(build: Build, parameters: Parameters, batch: Batch, held: Iterable[Tensor]) -> int:
    """Bytes that the graph of a batch keeps, beyond what is there anyhow.

    Counted on tensors without content, so nothing of that size is allocated. A model that such tensors cannot
    pass, because what it does depends on the numbers, is counted on its real graph, which is then built once.

    Parameters
    ----------
    build : callable
    parameters : dict of Tensor
        Leaves.
    batch : any
    held : iterable of Tensor
        What is there anyhow: the model's parameters and buffers; the batch counts as such, too.
    """
    with contextlib.suppress(Exception), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = {id(tensor): mode.from_tensor(tensor) for tensor in held}
        leaves = {
            name: fakes.get(id(leaf), mode.from_tensor(leaf)).detach().requires_grad_()
            for name, leaf in parameters.items()
        }
        inputs = map_tensors(mode.from_tensor, batch)
        return _count(build, leaves, inputs, [*fakes.values(), *leaves.values(), *tensors(inputs)])
    return _count(build, parameters, batch, [*held, *parameters.values(), *tensors(batch)])


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
