"""The autograd graph behind a tensor, node by node."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor
from torch.autograd.graph import get_gradient_edge


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


def nodes_between(output: Tensor, inputs: Iterable[Tensor]) -> list[Any]:
    """Nodes on the paths from ``output`` to any of the inputs, without those that made the inputs."""
    ends = {(edge.node, edge.output_nr) for edge in map(get_gradient_edge, inputs)}
    on_path: dict[Any, bool] = {}
    stack = [output.grad_fn]
    while stack:
        node = stack[-1]
        if node is None or node in on_path:
            stack.pop()
            continue
        waiting = [each for each, _ in node.next_functions if each is not None and each not in on_path]
        if waiting:
            stack.extend(waiting)
            continue
        on_path[stack.pop()] = any(
            edge in ends or on_path.get(edge[0], False) for edge in node.next_functions
        )
    return [node for node, wanted in on_path.items() if wanted]
