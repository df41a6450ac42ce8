"""What a product costs: arithmetic, memory, communication."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from workbench.batches import Batch
from workbench.curvature.operators.autograd import Product
from workbench.curvature.operators.footprint import imitate
from workbench.memory import show_bytes
from workbench.problem import Parameters


@dataclass(frozen=True)
class BatchCost:
    """Operations for the gradient of a batch, for its graph, and for a product with that; bytes at most.

    ``building`` bytes are taken at most until the graph is there and a product with it done, ``multiplying``
    bytes by a product beyond the graph.
    """

    gradient: int
    graph: int
    product: int
    building: int
    multiplying: int


@dataclass(frozen=True)
class Cost:
    """What one product with one vector costs, on one rank.

    Attributes
    ----------
    parameters : int
        Length n of the vector.
    ranks : int
        Over how many processes the data is spread.
    gradient_flops : float
        Floating-point operations of one gradient over this rank's data. Those of matrix products, attention
        and convolutions are counted (a multiplication and an addition are two), in which the time goes; what
        works number by number is not.
    product_flops : float
        The same of one product, once what is kept is there.
    setup_flops : float
        Of what is kept, spent by the first product.
    kept_bytes : int
        Kept from product to product.
    live_bytes : int
        Taken and given back within a product: the largest graph that is not kept, intermediate results, and
        the product itself.
    vector_bytes : int
        Of one vector or product.
    communication_bytes : float
        Sent, and as many received, by each rank for one product, by a ring all_reduce.
    """

    parameters: int
    ranks: int
    gradient_flops: float
    product_flops: float
    setup_flops: float
    kept_bytes: int
    live_bytes: int
    vector_bytes: int
    communication_bytes: float

    @property
    def gradients(self) -> float:
        """Arithmetic of a product in units of one gradient over the data."""
        return self.product_flops / self.gradient_flops if self.gradient_flops else float("nan")

    def __str__(self) -> str:
        text = (
            f"a product takes {self.gradients:.3g} gradients, {self.product_flops:.3g} FLOP; the first one "
            f"{self.setup_flops:.3g} FLOP more. Kept {show_bytes(self.kept_bytes)}, live "
            f"{show_bytes(self.live_bytes)}, a vector {show_bytes(self.vector_bytes)}"
        )
        if self.ranks > 1:
            text += f", each of {self.ranks} ranks sends {show_bytes(self.communication_bytes)}"
        return text


def ring_bytes(size: int, ranks: int) -> float:
    """Bytes that each rank sends in a ring all_reduce of so many bytes: 2 (ranks − 1) / ranks times those."""
    return size * 2 * (ranks - 1) / ranks


def count_batch(
    gradient: Callable[[Parameters, Batch], Tensor],
    build: Callable[[Parameters, Batch], Product],
    parameters: Parameters,
    batch: Batch,
    held: Iterable[Tensor],
) -> BatchCost:
    """Count what one batch takes, on tensors without content where the model can be passed those.

    Parameters
    ----------
    gradient, build : callable
        Compute the batch's gradient, and what multiplies with its matrix, at given parameters.
    parameters : dict of Tensor
        Leaves.
    batch : any
    held : iterable of Tensor
        The model's parameters and buffers.
    """

    def count(leaves: Parameters, inputs: Batch, there: list[Tensor]) -> BatchCost:
        vectors = [torch.zeros_like(leaf) for leaf in leaves.values()]
        with _Counter(there) as for_gradient:
            gradient(leaves, inputs)
        with _Counter([*there, *vectors]) as counter:
            product = build(leaves, inputs)
            graph, kept, building = counter.flops, counter.bytes, counter.peak
            counter.peak = kept
            product(vectors, batched=False)
        return BatchCost(
            gradient=for_gradient.flops,
            graph=graph,
            product=counter.flops - graph,
            building=max(building, counter.peak),
            multiplying=counter.peak - kept,
        )

    return imitate(count, parameters, batch, held)


class _Counter(TorchDispatchMode):
    """Adds up the operations and the memory of what is computed in this thread.

    Parameters
    ----------
    there : list of Tensor
        Memory that does not count.
    """

    def __init__(self, there: list[Tensor]) -> None:
        super().__init__()
        self.flops = self.bytes = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in there}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:
                self._see(tensor.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        address = storage._cdata
        if address not in self._known:
            self._known.add(address)
            self.bytes += storage.nbytes()
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self._forget, address, storage.nbytes()).atexit = False

    def _forget(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.bytes -= size
