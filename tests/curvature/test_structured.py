"""Stored layers against differentiating through the network."""

from typing import Any

import pytest
import torch
from mixing_network import Mixing
from torch import Tensor, nn

import workbench as wb


class Shared(nn.Module):
    """Uses one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(20, 20), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(torch.tanh(self.first(x)))))


class Penalised(nn.Module):
    """Uses a weight outside of its layer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(20, 20), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x))) * self.first.weight.square().mean()


class Residual(nn.Module):
    """Dense layers of one width with a way past one of them: no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(20, 24), nn.Linear(24, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.last(hidden + torch.tanh(self.inner(hidden)))


class Scaled(nn.Module):
    """Its outputs are not those of the last layer: no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = dense()

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.layers(x)


class Rolled(nn.Module):
    """A function mixes neighbouring entries a little: no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(20, 24), nn.Linear(24, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.last(torch.tanh(self.inner(hidden + 0.3 * hidden.roll(1, -1))))


class Tokens(nn.Module):
    """Dense layers at several positions, then their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (
            nn.Linear(10, 24),
            nn.Linear(24, 24, bias=False),
            nn.Linear(24, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.second(torch.tanh(self.first(x.view(-1, 2, 10)))))
        return self.last(hidden.mean(dim=1))


def dense(*, inplace: bool = False) -> nn.Module:
    return nn.Sequential(nn.Linear(20, 24), nn.ReLU(inplace), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))


def wide() -> nn.Module:
    """For so few outputs stored derivatives take single columns, too."""
    return nn.Sequential(nn.Linear(20, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 3))


def convolutional(**options: Any) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (4, 5, 1)), nn.Conv2d(4, 24, (2, 1), padding=(1, 0), **options), nn.GELU(),
        nn.Conv2d(24, 12, (2, 1), bias=False), nn.Tanh(), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(),
        nn.Linear(24, 3),
    )  # fmt: skip


def frozen_bias() -> nn.Module:
    model = dense()
    model[2].bias.requires_grad_(False)  # type: ignore[index, union-attr]
    model[4].weight.requires_grad_(False)  # type: ignore[index, union-attr]
    return model


STORED = {
    "dense": dense,
    "wide": wide,
    "in place": lambda: dense(inplace=True),
    "convolutional": convolutional,
    "dilated": lambda: convolutional(dilation=(2, 1)),
    "positions": Tokens,
    "partly frozen": frozen_bias,
    "residual": Residual,
    "scaled": Scaled,
    "rolled": Rolled,
}
NOT_STORED = {
    "shared": Shared,
    "mixing": lambda: Mixing(20),
    "used elsewhere": Penalised,
    "normalised": lambda: nn.Sequential(nn.Linear(20, 24), nn.LayerNorm(24), nn.Linear(24, 3)),
    "grouped": lambda: convolutional(groups=2),
}


def problem_of(make: Any, loss: nn.Module, **keywords: Any) -> wb.Problem:
    torch.manual_seed(0)
    model = make().double().eval()
    x = torch.randn(9, 20, dtype=torch.float64)
    outputs = model(x).shape[1]
    classifies = isinstance(loss, nn.CrossEntropyLoss)
    y = torch.randint(0, outputs, (9,)) if classifies else torch.randn(9, outputs).double()
    batches = list(zip(x.split([5, 4]), y.split([5, 4]), strict=True))
    return wb.Problem(model, loss, batches, **keywords)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss(), nn.HuberLoss()], ids=repr)
@pytest.mark.parametrize("name", STORED)
def test_stored_layers_give_the_same_products(name: str, loss: nn.Module) -> None:
    problem = problem_of(STORED[name], loss)
    stored, plain = wb.curvature.ggn(problem), wb.curvature.ggn(problem, memory=0)
    block = torch.randn(problem.num_parameters, 3, dtype=torch.float64)
    torch.testing.assert_close(stored @ block, plain @ block, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(stored @ block[:, 0], plain @ block[:, 0], rtol=1e-10, atol=1e-12)
    assert (stored.plan().method, plain.plan().method) == ("structured", "recompute")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_coarse_dtype_does_not_hide_that_there_is_no_chain(dtype: torch.dtype) -> None:
    problem = problem_of(Rolled, nn.CrossEntropyLoss())
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    found = wb.curvature.ggn(problem.to(dtype=dtype), check=False) @ vector.to(dtype)
    expected = wb.curvature.ggn(problem, memory=0) @ vector
    assert (found.double() - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("name", NOT_STORED)
def test_what_stored_layers_cannot_express_takes_graphs(name: str) -> None:
    weight = "batch" if name == "mixing" else None
    problem = problem_of(NOT_STORED[name], nn.CrossEntropyLoss(), weight=weight)
    op = wb.curvature.ggn(problem)
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    torch.testing.assert_close(
        op @ vector, wb.curvature.ggn(problem, memory=0) @ vector, rtol=1e-10, atol=1e-12
    )
    assert op.plan().method == "retained"


def test_stored_bytes_are_counted_and_kept_within_the_budget() -> None:
    problem = problem_of(dense, nn.CrossEntropyLoss())
    plan = wb.curvature.ggn(problem).plan()
    activations, derivatives, slopes = 20 + 24 + 24, 3 * 24, 24 + 2 * 24
    assert plan.kept_bytes == 9 * 8 * (activations + derivatives + slopes)
    assert wb.curvature.ggn(problem, memory=plan.kept_bytes).plan().method == "structured"
    assert wb.curvature.ggn(problem, memory=plan.kept_bytes - 1).plan().method != "structured"


def test_many_outputs_take_graphs() -> None:
    def deep() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 40))

    assert wb.curvature.ggn(problem_of(deep, nn.MSELoss())).plan().method == "retained"


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_candidates_are_timed_on_request(make: Any) -> None:
    problem = problem_of(dense, nn.CrossEntropyLoss())
    op = make(problem, plan="auto")
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    torch.testing.assert_close(op @ vector, make(problem, memory=0) @ vector, rtol=1e-10, atol=1e-12)
    methods = {"retained", "recompute", "structured"}
    measured = op.plan().measured
    assert methods <= measured.keys()
    assert min(methods, key=measured.__getitem__) == op.plan().method
    assert "ms per column" in str(op.plan())
