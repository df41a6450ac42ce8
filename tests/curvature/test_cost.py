"""What ``cost()`` says beforehand, against torch's own counters on the real work."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import workbench as wb
from workbench.curvature.operators.cost import ring_bytes


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm(x)).view(*x.shape[:2], 3, 2, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*heads.unbind(), is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def transformer() -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(30, 24), Block(24), Block(24), nn.Linear(24, 30), Transposed())
    tokens = [torch.randint(0, 30, (examples, 24)) for examples in (6, 6, 3)]
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), [(each, each) for each in tokens])


def dense() -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 96), nn.Tanh(), nn.Linear(96, 96), nn.Tanh(), nn.Linear(96, 5))
    data = [(torch.randn(examples, 20), torch.arange(examples) % 5) for examples in (256, 256, 100)]
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), data)


CASES = [
    pytest.param(problem, make, memory, id=f"{problem.__name__} {make.__name__} {memory}")
    for problem in (transformer, dense)
    for make in (wb.curvature.hessian, wb.curvature.ggn)
    for memory in ("1GB", 0)
]


def flops(work: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def taken(work: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that the work keeps, and that it takes at most."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        result = work()
    now = most = 0
    for event in run.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    del result
    return now, most


@pytest.mark.parametrize(("problem", "make", "memory"), CASES)
def test_operations_and_bytes_are_those_of_the_real_work(problem: Any, make: Any, memory: Any) -> None:
    problem = problem()
    op = make(problem, memory=memory, check=False)
    cost = op.cost()
    vector = torch.randn(op.shape[0])
    kept, _ = taken(lambda: op @ vector)
    assert cost.kept_bytes == pytest.approx(kept - cost.vector_bytes, rel=0.2, abs=1000)
    _, most = taken(lambda: op @ vector)
    assert cost.live_bytes == pytest.approx(most, rel=0.2)
    assert cost.gradient_flops == flops(problem.gradient)
    assert cost.product_flops == flops(lambda: op @ vector)
    op.release()
    assert cost.product_flops + cost.setup_flops == flops(lambda: op @ vector)


def test_what_is_rebuilt_costs_a_gradient_more() -> None:
    problem = transformer()
    kept, rebuilt = (
        wb.curvature.hessian(problem, memory=memory, check=False).cost() for memory in ("1GB", 0)
    )
    assert rebuilt.gradients == pytest.approx(kept.gradients + 1)
    assert rebuilt.setup_flops == 0 == rebuilt.kept_bytes
    assert kept.gradients == pytest.approx(2.0, abs=0.05)
    op = wb.curvature.hessian(problem, memory=int(0.8 * kept.kept_bytes), check=False)
    assert op.plan().method == "partly retained"
    assert kept.gradients < op.cost().gradients < rebuilt.gradients


def test_parts_of_batches_take_less_at_a_time() -> None:
    problem = transformer()
    whole = wb.curvature.hessian(problem, memory=0, check=False).cost()
    op = wb.curvature.hessian(problem, memory=300_000, check=False)
    assert op.plan().method == "micro-batch"
    cost, vector = op.cost(), torch.ones(op.shape[0])
    op @ vector
    _, most = taken(lambda: op @ vector)
    assert cost.live_bytes == pytest.approx(most, rel=0.2)
    assert cost.live_bytes < 0.7 * whole.live_bytes
    assert cost.gradients == pytest.approx(whole.gradients)


def test_a_ring_sends_each_part_twice_but_to_itself() -> None:
    for ranks in (1, 2, 5):
        one_part = 1000 / ranks
        assert ring_bytes(1000, ranks) == pytest.approx(2 * (ranks - 1) * one_part)


def test_a_cost_reads_as_a_sentence() -> None:
    text = str(wb.curvature.ggn(dense(), memory=0, check=False).cost())
    assert text.startswith("a product takes 2.")
    assert "ranks" not in text
