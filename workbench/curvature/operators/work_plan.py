"""How an operator does its products, decided before anything large is built."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.curvature.operators.base import DENSE_BLOCK
from workbench.memory import show_bytes

STRUCTURED = "structured"


@dataclass(frozen=True)
class WorkPlan:
    """What an operator keeps from product to product, and why.

    Attributes
    ----------
    method : str
        ``"structured"``: activations and output derivatives are stored. ``"retained"``: the graph of every
        batch is kept. ``"partly retained"``: those of some. ``"recompute"``: each batch's graph is built
        anew for each ``@``. ``"micro-batch"``: the same for parts of batches.
    reason : str
        In words.
    budget : int
        Bytes that may be taken.
    kept_bytes : int
        Bytes kept from product to product.
    live_bytes : int
        Bytes of the largest graph that is built and dropped within a product.
    kept : tuple of int
        Which batches are kept.
    batches : int
        How many there are.
    pieces : int
        Into how many parts each batch is split.
    at_once : bool
        Whether the columns of a block are multiplied together.
    measured : dict of str to float
        Seconds per column by method, where they were measured (``plan="auto"``).
    """

    method: str
    reason: str
    budget: int
    kept_bytes: int = 0
    live_bytes: int = 0
    kept: tuple[int, ...] = ()
    batches: int = 0
    pieces: int = 1
    at_once: bool = False
    measured: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        columns = "columns together" if self.at_once else "columns one by one"
        lines = [
            f"{self.method}, {columns}: {self.reason}",
            f"kept {show_bytes(self.kept_bytes)} for {len(self.kept)} of {self.batches} batches, "
            f"live {show_bytes(self.live_bytes)}, budget {show_bytes(self.budget)}",
        ]
        lines += [f"{method}: {1e3 * seconds:.3g} ms per column" for method, seconds in self.measured.items()]
        return "\n".join(lines)


def room_for_columns(plan: WorkPlan) -> int:
    """How many columns of a block the budget lets go together: each takes up to as much as a graph."""
    if plan.method == STRUCTURED:
        return DENSE_BLOCK
    size = plan.kept_bytes + plan.live_bytes
    return max(1, min(DENSE_BLOCK, (plan.budget - plan.kept_bytes) // size)) if size else 1


def arrange_graphs(sizes: Sequence[int], budget: int, *, splits: bool) -> WorkPlan:
    """Decide which graphs to keep.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of each batch's graph.
    budget : int
        Bytes that may be taken.
    splits : bool
        Whether a batch may be computed in parts.
    """
    count, largest = len(sizes), max(sizes)
    if sum(sizes) <= budget:
        return WorkPlan(
            "retained",
            f"all graphs, {show_bytes(sum(sizes))}, fit into the budget",
            budget,
            kept_bytes=sum(sizes),
            kept=tuple(range(count)),
            batches=count,
        )
    if largest > budget:
        pieces = -(-largest // max(budget, 1)) if splits and budget else 1
        return WorkPlan(
            "micro-batch" if pieces > 1 else "recompute",
            f"the largest graph takes {show_bytes(largest)}",
            budget,
            live_bytes=-(-largest // pieces),
            batches=count,
            pieces=pieces,
        )
    kept, left = _largest_that_fit(sizes, budget)
    return WorkPlan(
        "partly retained" if kept else "recompute",
        f"all graphs take {show_bytes(sum(sizes))}; the largest are kept, the others built one at a time",
        budget,
        kept_bytes=sum(sizes[i] for i in kept),
        live_bytes=left,
        kept=tuple(sorted(kept)),
        batches=count,
    )


def _largest_that_fit(sizes: Sequence[int], budget: int) -> tuple[list[int], int]:
    """Keep the largest graphs beside the largest of the rest; return them and that one's size."""
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    kept: list[int] = []
    total = 0
    for place, index in enumerate(order[:-1]):
        if total + sizes[index] + sizes[order[place + 1]] > budget:
            break
        kept.append(index)
        total += sizes[index]
    return kept, sizes[order[len(kept)]]
