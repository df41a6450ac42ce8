"""Low-rank adapters over a frozen network, and networks in bfloat16."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import workbench as wb


class Adapted(nn.Module):
    """A frozen dense layer W x plus a trainable B A x of low rank."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.base = nn.Linear(width, width).requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, width) / math.sqrt(width))
        self.up = nn.Parameter(0.3 * torch.randn(width, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + (x @ self.down.T) @ self.up.T


def adapted(width: int, batches: int = 2) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(
        Adapted(width, 2), nn.LayerNorm(width, elementwise_affine=False), nn.Tanh(), Adapted(width, 1),
        nn.Linear(width, 3).requires_grad_(False),
    )  # fmt: skip
    model.double().eval()
    data = [(torch.randn(4 - i, width).double(), torch.arange(4 - i) % 3) for i in range(batches)]
    return wb.Problem(model, nn.CrossEntropyLoss(), data)


def test_products_are_those_of_the_adapters_alone() -> None:
    problem = adapted(6)
    trainable = {n: p for n, p in problem.model.named_parameters() if p.requires_grad}
    assert [part.name for part in problem.layout] == list(trainable)
    everything = wb.Problem(problem.model.requires_grad_(True), problem.loss, list(problem._data))
    places = torch.cat(
        [torch.arange(part.start, part.stop) for part in everything.layout if part.name in trainable]
    )
    for make in (wb.curvature.hessian, wb.curvature.ggn, wb.curvature.fisher):
        block = make(everything).dense()[places][:, places]
        torch.testing.assert_close(make(problem).dense(), block)


def test_the_hessian_of_adapters_is_a_difference_of_gradients() -> None:
    problem = adapted(6)
    inputs, targets = (torch.cat(parts) for parts in zip(*problem._data, strict=True))
    leaves = [p for p in problem.model.parameters() if p.requires_grad]
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)

    def gradient(shift: Tensor) -> Tensor:
        theta = nn.utils.parameters_to_vector(leaves).detach()
        nn.utils.vector_to_parameters(theta + shift, leaves)
        loss = F.cross_entropy(problem.model(inputs), targets)
        parts = torch.autograd.grad(loss, leaves)
        nn.utils.vector_to_parameters(theta, leaves)
        return torch.cat([part.reshape(-1) for part in parts])

    product = wb.curvature.hessian(problem) @ vector
    step = 1e-5
    expected = (gradient(step * vector) - gradient(-step * vector)) / (2 * step)
    assert (product - expected).norm() < 1e-7 * expected.norm()


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_frozen_weights_are_not_in_the_plan(make) -> None:
    """What a graph keeps grows as the width does; the frozen weights, as its square."""
    kept = {width: make(adapted(width), check=False).plan().kept_bytes for width in (64, 512)}
    frozen = 8 * 2 * 512**2
    assert kept[512] < 10 * kept[64]
    assert kept[512] < 0.2 * frozen


def bfloat16(batches: int, examples: int) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 3))
    data = [(torch.randn(examples, 8), torch.randint(0, 3, (examples,))) for _ in range(batches)]
    problem = wb.Problem(model.eval(), nn.CrossEntropyLoss(), data)
    return problem.to(dtype=torch.bfloat16)


MATRICES = [wb.curvature.hessian, wb.curvature.ggn, wb.curvature.fisher]


@pytest.mark.parametrize("make", MATRICES)
def test_bfloat16_products_are_right_to_its_precision(make) -> None:
    problem = bfloat16(3, 16)
    vector = torch.randn(problem.num_parameters)
    product = make(problem) @ vector
    assert product.dtype == torch.float32
    exact = make(problem.to(dtype=torch.float64)) @ vector
    assert (product - exact).norm() < 4 * torch.finfo(torch.bfloat16).eps * exact.norm()


@pytest.mark.parametrize("memory", [None, 0])
def test_many_small_batches_in_bfloat16_add_up_in_float32(memory) -> None:
    """Held against the products of the single batches, computed in plain bfloat16 and added in float64."""
    problem = bfloat16(300, 1)
    vector = torch.randn(problem.num_parameters)
    parameters = list(problem.model.parameters())
    sizes = [p.numel() for p in parameters]
    parts = [part.view_as(p).bfloat16() for part, p in zip(vector.split(sizes), parameters, strict=True)]
    exact, coarse = torch.zeros(len(vector), dtype=torch.float64), torch.zeros(len(vector)).bfloat16()
    for (inputs, targets), share in problem.batches():
        loss = F.cross_entropy(problem.model(inputs), targets)
        gradient = torch.autograd.grad(loss, parameters, create_graph=True)
        products = torch.autograd.grad(gradient, parameters, parts)
        flat = torch.cat([product.reshape(-1) for product in products])
        exact += share * flat.double()
        coarse += share * flat
    distance = (wb.curvature.hessian(problem, memory=memory, check=False) @ vector - exact).norm()
    assert distance < 1e-5 * exact.norm()
    assert (coarse - exact).norm() > 1e-2 * exact.norm()  # what a sum in bfloat16 would lose
