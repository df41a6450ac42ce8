"""``LayeredOperator``: operators that may store what the layers of a network see, in place of graphs."""

import abc
import math
from dataclasses import replace
from typing import Any

from torch import Tensor

from workbench.batches import Batch, count_examples
from workbench.curvature.operators.autograd import Product
from workbench.curvature.operators.exact_copy import NoFloat64, in_float64
from workbench.curvature.operators.layer_calls import LayerCall, RecordLayers
from workbench.curvature.operators.problem_operator import ProblemOperator
from workbench.curvature.operators.work_plan import STRUCTURED, WorkPlan, room_for_columns
from workbench.graph import graph_nodes
from workbench.memory import show_bytes
from workbench.problem import Parameters
from workbench.random_vectors import generator, random_vectors

_STORED = 16  # examples on which stored layers are tried
_COARSE = 1e-5  # rounding from which on the trial is in float64


class LayeredOperator(ProblemOperator):
    """An operator with a second way to multiply: from stored layers, where the network has the form for it.

    A new one has :meth:`_layer_bytes` and :meth:`_store` beside :meth:`_batch_product`, with which a product
    of stored layers is compared on a few examples before it is used.
    """

    def _record(self, leaves: Parameters, batch: Batch) -> tuple[list[LayerCall], Any, Tensor]:
        """The layers that one batch goes through, and its outputs and loss."""
        record = RecordLayers(list(leaves.values()))
        with record:
            outputs, loss = self.problem.evaluate(leaves, batch)
        return record.calls, outputs, loss

    @abc.abstractmethod
    def _layer_bytes(self, leaves: Parameters, batch: Batch) -> int | None:
        """Bytes that layers would take for a batch; None where they cannot be stored, or do not pay."""

    @abc.abstractmethod
    def _store(self, leaves: Parameters, batch: Batch) -> Product:
        """Store the layers of a batch and return what multiplies with its curvature matrix."""

    def _build(self, leaves: Parameters, batch: Batch, method: str = "recompute") -> Product:
        return self._store(leaves, batch) if method == STRUCTURED else super()._build(leaves, batch, method)

    def _arrange(self, budget: int) -> WorkPlan:
        """Store layers where that is possible, right and worth it; else graphs."""
        stored = self._arrange_layers(budget)
        if stored is not None:
            return stored
        plan = super()._arrange(budget)
        # A block of vectors through a convolution is a grouped convolution, which is slower than a loop.
        at_once = room_for_columns(plan) > 1 and not self._convolves() and self._can_batch()
        return replace(plan, at_once=at_once)

    def _convolves(self) -> bool:
        _, loss = self.problem.evaluate(self.problem.leaves(), self.problem.small_batch(_STORED))
        return any("Convolution" in node.name() for node in graph_nodes(loss))

    def _arrange_layers(self, budget: int) -> WorkPlan | None:
        leaves, batch = self.problem.leaves(), self.problem.small_batch(_STORED)
        size = self._layer_bytes(leaves, batch)
        if size is None:
            return None
        each = size / count_examples(batch)
        sizes = [math.ceil(each * count_examples(batch)) for batch, _ in self.problem.batches()]
        if sum(sizes) > budget or not self._stores_rightly(leaves, batch):
            return None
        return WorkPlan(
            STRUCTURED,
            f"the layers' activations and derivatives take {show_bytes(sum(sizes))}",
            budget,
            kept_bytes=sum(sizes),
            kept=tuple(range(len(sizes))),
            batches=len(sizes),
            at_once=True,
        )

    def _stores_rightly(self, leaves: Parameters, batch: Batch) -> bool:
        """Whether stored layers agree with differentiating through the network, on a small batch.

        They do not where a parameter is used outside of its layer, or examples look at one another. A coarse
        dtype's rounding would hide that, so it is looked at in float64.
        """
        if self.precision > _COARSE:
            try:
                return in_float64(
                    self, batch, lambda exact, few: exact._stores_rightly(exact.problem.leaves(), few)
                )
            except NoFloat64:
                return False
        vectors = self._split(random_vectors(1, self.shape[0], generator(0))[0].to(self.device, self.dtype))
        expected = self._build(leaves, batch)(vectors, batched=False)
        product = self._build(leaves, batch, STRUCTURED)
        alone = product(vectors, batched=False)
        try:
            together = [part[0] for part in product([vector[None] for vector in vectors], batched=True)]
        except (RuntimeError, NotImplementedError):  # a loss whose derivative looks at its numbers
            return False
        return all(self._agree(stored, expected, 1000) for stored in (alone, together))
