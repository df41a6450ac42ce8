"""The autograd graph behind a tensor, node by node."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor


def graph_nodes(output: Tensor) -> Iterator[Any]:
    """Every node of the graph of ``output``, each once."""
    seen: set[Any] = set()
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack.extend(successor for successor, _ in node.next_functions)
        yield node


def reaches(output: Tensor, leaves: Iterable[Tensor]) -> bool:
    """Whether the graph of ``output`` ends in any of the leaves (a reentrant checkpoint hides that)."""
    wanted = {id(leaf) for leaf in leaves}
    return any(
        id(getattr(node, "variable", None)) in wanted or "CheckpointFunction" in node.name()
        for node in graph_nodes(output)
    )
