"""Which graphs are kept, and that products are the same whichever are."""

from typing import Any

import pytest
import torch
from curvature_cases import build
from torch import Tensor, nn

import workbench as wb
from workbench.curvature.operators.footprint import graph_bytes
from workbench.curvature.operators.work_plan import arrange_graphs


def test_all_graphs_are_kept_where_they_fit() -> None:
    plan = arrange_graphs([5, 3, 8], 16, splits=True)
    assert (plan.method, plan.kept, plan.kept_bytes) == ("retained", (0, 1, 2), 16)


def test_the_largest_are_kept_beside_one_of_the_others() -> None:
    plan = arrange_graphs([5, 3, 8, 4], 17, splits=True)
    assert (plan.method, plan.kept) == ("partly retained", (0, 2))
    assert (plan.kept_bytes, plan.live_bytes) == (13, 4)


def test_a_budget_for_one_alone_keeps_none() -> None:
    plan = arrange_graphs([8, 8], 8, splits=True)
    assert (plan.method, plan.kept, plan.live_bytes) == ("recompute", (), 8)


@pytest.mark.parametrize(("splits", "method", "pieces"), [(True, "micro-batch", 3), (False, "recompute", 1)])
def test_a_batch_beyond_the_budget_is_split_where_it_can_be(splits: bool, method: str, pieces: int) -> None:
    plan = arrange_graphs([25, 4], 10, splits=splits)
    assert (plan.method, plan.pieces, plan.kept) == (method, pieces, ())


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
@pytest.mark.parametrize("name", ["unequal_last_batch", "class_weights", "ignore_index", "sum"])
def test_products_are_the_same_whatever_is_kept(make: Any, name: str) -> None:
    problem = build(name).problem()
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    expected = make(problem, memory=0) @ vector
    total = sum(make(problem)._graph_sizes())
    methods = set()
    for memory in (total, total - 1, total // 4, None):
        op = make(problem, memory=memory)
        for _ in range(2):  # the second product meets what the first one kept
            torch.testing.assert_close(op @ vector, expected, rtol=1e-10, atol=1e-12)
        methods.add(op.plan().method)
    assert len(methods) >= 3 - (make is wb.curvature.ggn)


def test_kept_graphs_go_with_the_operator_or_on_request() -> None:
    op = wb.curvature.hessian(build("mlp").problem())
    vector = torch.ones(op.shape[0], dtype=torch.float64)
    before = op @ vector
    assert op._kept
    op.release()
    assert not op._kept
    torch.testing.assert_close(op @ vector, before, rtol=0, atol=0)


def test_a_plan_explains_itself() -> None:
    plan = wb.curvature.ggn(build("layernorm_attention").problem()).plan()
    assert plan.method == "retained"
    assert "fit into the budget" in str(plan)
    assert f"for {plan.batches} of {plan.batches} batches" in str(plan)


@pytest.mark.parametrize("name", ["mlp", "layernorm_attention", "cnn_batchnorm"])
def test_counted_bytes_are_those_of_the_real_graph(name: str) -> None:
    problem = build(name).problem()
    op = wb.curvature.hessian(problem)
    leaves, (batch, _) = problem.leaves(), next(problem.batches())
    held = list(problem.state().values())

    def real_only(parameters: Any, batch: Any) -> Any:
        if type(batch[0]) is not torch.Tensor:
            raise NotImplementedError
        return op._build(parameters, batch)

    counted = graph_bytes(op._build, leaves, batch, held)
    assert counted == graph_bytes(real_only, leaves, batch, held) > 0


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_batches_of_one_shape_share_a_plan_and_others_make_their_own(make: Any) -> None:
    problem = build("mlp").problem()
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    first = make(problem.subset(torch.arange(4)))
    unplanned = first.on_data(problem.subset(torch.arange(1, 5)))
    assert unplanned._plan is None
    plan = first.plan()
    for chosen, shares in ((torch.arange(2, 6), True), (torch.arange(3), False)):
        batch = problem.subset(chosen)
        found = first.on_data(batch)
        torch.testing.assert_close(found @ vector, make(batch) @ vector, rtol=1e-12, atol=1e-12)
        assert (found.plan() is plan) == shares


def test_a_plan_that_takes_much_of_its_budget_is_not_shared() -> None:
    problem = build("mlp").problem()
    first = wb.curvature.hessian(problem.subset(torch.arange(4)))
    size = first.plan().kept_bytes + first.plan().live_bytes
    for memory, shares in ((5 * size, True), (3 * size, False)):
        tight = wb.curvature.hessian(problem.subset(torch.arange(4)), memory=memory)
        plan = tight.plan()
        assert (tight.on_data(problem.subset(torch.arange(2, 6))).plan() is plan) == shares


class Spread(nn.Module):
    """Each example is spread over places, which one layer sees all of: no chain of layers to store."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.last = layer, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(torch.stack([x, x.sin()], dim=1)).tanh().sum(1))


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
@pytest.mark.parametrize("layer", [nn.Linear(4, 4), nn.Conv1d(2, 2, 1)], ids=["dense", "convolution"])
def test_columns_go_together_where_that_wins(make: Any, layer: nn.Module) -> None:
    problem = wb.Problem(Spread(layer), nn.CrossEntropyLoss(), (torch.randn(6, 4), torch.arange(6) % 3))
    op = make(problem)
    op._arrange_layers = lambda budget: None
    assert op.plan().at_once is isinstance(layer, nn.Linear)


@pytest.mark.parametrize(("room", "together"), [(0, 1), (1.5, 1), (5, 4), (1000, 64)])
def test_columns_go_together_as_far_as_the_budget_goes(room: float, together: int) -> None:
    problem = wb.Problem(
        Spread(nn.Linear(4, 4)).double(),
        nn.CrossEntropyLoss(),
        [(torch.randn(6, 4).double(), torch.arange(6) % 3), (torch.randn(2, 4).double(), torch.arange(2))],
    )
    graphs = sum(wb.curvature.hessian(problem)._graph_sizes())
    op = wb.curvature.hessian(problem, memory=int(room * graphs))
    op._arrange_layers = lambda budget: None  # type: ignore[method-assign]
    block = torch.randn(op.shape[0], 70, dtype=torch.float64)
    columns = []
    multiply = op._at_once

    def watched(product: Any, rows: Tensor, share: float, total: Tensor, **keywords: int) -> None:
        def noted(parts: list[Tensor], batched: bool) -> list[Tensor]:
            columns.append(len(parts[0]))
            return product(parts, batched=batched)

        multiply(noted, rows, share, total, **keywords)

    op._at_once = watched  # type: ignore[method-assign,assignment]
    found = op @ block
    assert max(columns, default=1) == together
    assert op.plan().at_once is (together > 1)
    torch.testing.assert_close(found, torch.stack([op @ column for column in block.T], dim=1))
