"""What a product costs: arithmetic, memory, communication."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from workbench.batches import Batch
from workbench.curvature.operators.autograd import Product
from workbench.curvature.operators.footprint import imitate
from workbench.memory import show_bytes
from workbench.problem import Parameters


@dataclass(frozen=True)
class BatchFlops:
    """Operations for the gradient of a batch, for its graph, and for a product with that."""

    gradient: int
    graph: int
    product: int


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
        Floating-point operations of one gradient over this rank's data. Those of matrix products, attention and
        convolutions are counted (a multiplication and an addition are two), in which the time goes; what
        works number by number is not.
    product_flops : float
        The same of one product, once what is kept is there.
    setup_flops : float
        Of what is kept, spent by the first product.
    kept_bytes : int
        Kept from product to product.
    live_bytes : int
        Of the largest graph that is built and dropped within a product.
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
) -> BatchFlops:
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

    def count(leaves: Parameters, inputs: Batch, _: Any) -> BatchFlops:
        vectors = [torch.zeros_like(leaf) for leaf in leaves.values()]
        with _Counter() as for_gradient:
            gradient(leaves, inputs)
        with _Counter() as for_graph:
            product = build(leaves, inputs)
        with _Counter() as for_product:
            product(vectors, batched=False)
        return BatchFlops(for_gradient.flops, for_graph.flops, for_product.flops)

    return imitate(count, parameters, batch, held)


class _Counter(TorchDispatchMode):
    """Adds up the operations of what is computed in this thread."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        return result
