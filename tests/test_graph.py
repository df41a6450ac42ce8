"""Nodes of the autograd graph, on graphs that are known."""

import torch

from workbench.graph import graph_nodes, nodes_between


def test_nodes_between_are_those_on_a_path_and_not_what_made_the_inputs() -> None:
    x, weight = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    middle = x.exp()
    output = (middle.sin() * weight.square() + middle).sum()
    names = [node.name() for node in nodes_between(output, [middle])]
    assert sorted(names) == ["AddBackward0", "MulBackward0", "SinBackward0", "SumBackward0"]
    assert "ExpBackward0" in [node.name() for node in nodes_between(output, [middle, x])]
    assert len(list(graph_nodes(output))) == 8


def test_the_last_node_comes_last_and_a_deep_graph_is_no_recursion() -> None:
    x = torch.ones(1, requires_grad=True)
    output = x
    for _ in range(5000):
        output = output + 1
    nodes = nodes_between(output, [x])
    assert len(nodes) == 5000
    assert nodes[-1] is output.grad_fn


def test_of_a_tensor_with_several_outputs_the_one_that_is_meant() -> None:
    first, second = torch.ones(4, requires_grad=True).clone().chunk(2)
    assert nodes_between(second.sum(), [first]) == []
    assert len(nodes_between(second.sum(), [second])) == 1
