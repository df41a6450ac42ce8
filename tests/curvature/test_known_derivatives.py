"""Known derivatives: functions of single entries against torch, and where operators use them."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from curvature_cases import build
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import workbench as wb
from workbench.curvature.operators import GGN, Hessian
from workbench.curvature.operators.known_derivatives import KnownDerivatives

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu by tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": partial(F.softplus, beta=2, threshold=3),
}
ANALYSES = {"hessian": wb.curvature.hessian, "ggn": wb.curvature.ggn}


def derivatives(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value = function(x)
    (slope,) = torch.autograd.grad(value.square().sum(), x, create_graph=True)
    return value, slope, torch.autograd.grad(slope.square().sum(), x)[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_single_entries(name: str) -> None:
    function = FUNCTIONS[name]
    x = torch.linspace(-5, 5, 40, dtype=torch.float64, requires_grad=True)
    with KnownDerivatives(twice=True) as known:
        found = derivatives(function, x)
    assert known.met
    torch.testing.assert_close(found, derivatives(function, x))


def test_a_first_derivative_alone_is_a_constant() -> None:
    x = torch.linspace(-2, 2, 5, requires_grad=True)
    with KnownDerivatives(twice=False):
        value = F.gelu(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    assert not slope.requires_grad
    torch.testing.assert_close(slope, torch.autograd.grad(F.gelu(x).sum(), x)[0])


def test_dense_layers_of_gauss_newton_matrices_alone() -> None:
    x, weight = torch.ones(2, 3), torch.ones(4, 3, requires_grad=True)
    for twice in (False, True):
        with KnownDerivatives(twice=twice) as known:
            F.linear(x, weight)
        assert known.met is not twice


@pytest.mark.parametrize(
    "work",
    [
        lambda: F.silu(torch.ones(2, requires_grad=True).clone(), inplace=True),
        lambda: F.silu(torch.ones(2, requires_grad=True).clone(), True),
        lambda: F.gelu(torch.ones(2, requires_grad=True, dtype=torch.bfloat16)),
        lambda: F.gelu(torch.ones(2)),
        lambda: F.relu(torch.ones(2, requires_grad=True)),
        lambda: F.layer_norm(torch.ones(2, 2, requires_grad=True), (2, 2)),
    ],
    ids=["in place", "in place by position", "bfloat16", "no graph", "cheap", "two dimensions"],
)
def test_what_is_left_to_torch(work: Callable[[], Tensor]) -> None:
    with KnownDerivatives(twice=True) as known:
        work()
    assert not known.met


def test_autocast_is_left_to_torch() -> None:
    with KnownDerivatives(twice=True) as known, torch.autocast("cpu", torch.bfloat16):
        F.layer_norm(torch.ones(2, 2, requires_grad=True), (2,))
    assert not known.met


class Network(nn.Module):
    """Normalised without weights, then with a weight alone, and bent in each of the ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 4), nn.LayerNorm(4, elementwise_affine=False), nn.GELU(),
            nn.Linear(4, 4), nn.LayerNorm(4, bias=False), nn.SiLU(), nn.Linear(4, 3), nn.Softplus(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Repeated(nn.Module):
    """Computed again in the backward pass, where no context is."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Network()

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=False)


class Sloped(nn.Module):
    """The derivative of a network in its input: with it, third derivatives enter the Hessian.

    Without LayerNorm, whose third derivative is wrong in torch 2.13.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 3), nn.Softplus())

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.inner(x).square().sum(), x, create_graph=True)[0]


def regression(model: nn.Module) -> wb.Problem:
    generator = torch.Generator().manual_seed(0)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x, y = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    return wb.Problem(model, nn.MSELoss(), [(x[:3], y[:3]), (x[3:], y[3:])])


def matrix(op: wb.curvature.CurvatureOperator) -> Tensor:
    return op @ torch.eye(op.shape[0], dtype=torch.float64)


def without(op: Hessian | GGN, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setattr(op, "_knows_rightly", lambda: False)
    return matrix(op)


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("memory", [None, 0])
def test_operators_use_them(analysis: str, memory: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = regression(Network())
    op = ANALYSES[analysis](problem, memory=memory)
    found = matrix(op)
    assert op._knows
    torch.testing.assert_close(found, without(ANALYSES[analysis](problem, memory=memory), monkeypatch))


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("model", [Repeated, Sloped])
def test_operators_see_where_they_would_be_wrong(
    analysis: str, model: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = regression(model())
    op = ANALYSES[analysis](problem)
    found = matrix(op)
    assert not op._knows
    torch.testing.assert_close(found, without(ANALYSES[analysis](problem), monkeypatch))


class Outgrown(nn.Module):
    """Computed again in the backward pass where there are more examples than a trial has."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=False) if len(x) > 8 else self.inner(x)


@pytest.mark.parametrize("analysis", ANALYSES)
def test_a_batch_that_is_computed_again_is_noticed(analysis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few = regression(Outgrown())
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    problem = wb.Problem(few.model, nn.MSELoss(), [(x, x.flip(1))])

    def general(keep: bool) -> Hessian | GGN:
        op = ANALYSES[analysis](problem)
        monkeypatch.setattr(op, "_layer_bytes", lambda *args: None)
        if not keep:
            monkeypatch.setattr(op, "_knows_rightly", lambda: False)
        return op

    torch.testing.assert_close(matrix(general(True)), matrix(general(False)))


@pytest.mark.parametrize("analysis", ANALYSES)
def test_a_coarse_dtype_is_left_to_torch(analysis: str) -> None:
    problem = regression(Network())
    problem.model.float().layers[0].to(torch.bfloat16)
    model = nn.Sequential(problem.model.layers[0], Widened(), *problem.model.layers[1:])
    x, y = torch.randn(2, 4, 3)
    op = ANALYSES[analysis](wb.Problem(model, nn.MSELoss(), (x.bfloat16(), y)))
    op.plan()
    assert not op._knows


class Widened(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float()


@pytest.mark.parametrize("analysis", ANALYSES)
def test_columns_go_alone_under_an_autocast_that_nobody_planned_for(analysis: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    op = ANALYSES[analysis](wb.Problem(model, nn.MSELoss(), tuple(torch.randn(2, 6, 3))))
    assert op.plan().at_once
    block = torch.randn(op.shape[0], 3)
    with torch.autocast("cpu", torch.bfloat16):
        together, alone = op @ block, torch.stack([op @ column for column in block.T], dim=1)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("frozen", [(), ("layers.4.weight",)], ids=["free", "a frozen weight"])
def test_columns_go_together(analysis: str, frozen: tuple[str, ...]) -> None:
    problem = regression(Network())
    for name, parameter in problem.model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    op = ANALYSES[analysis](wb.Problem(problem.model, nn.MSELoss(), problem.small_batch(3)))
    op.plan()
    assert op._knows
    assert op._can_batch()


def test_values_may_be_changed_in_place() -> None:
    x = torch.linspace(-2, 2, 5, dtype=torch.float64, requires_grad=True)

    def changed() -> tuple[Tensor, Tensor, Tensor]:
        return derivatives(lambda x: F.relu(F.gelu(x), inplace=True), x)

    with KnownDerivatives(twice=True):
        found = changed()
    torch.testing.assert_close(found, changed())


def test_room_for_the_graph_comes_first() -> None:
    """Known second derivatives take room; without them this Hessian's graph can be kept."""
    problem = wb.Problem(
        nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 2)),
        nn.CrossEntropyLoss(),
        (torch.randn(64, 4), torch.arange(64) % 2),
    )
    whole = wb.curvature.hessian(problem)
    needed = whole.plan().kept_bytes
    assert whole._knows
    tight = wb.curvature.hessian(problem, memory=int(0.9 * needed))
    assert len(tight.plan().kept) == 1
    assert not tight._knows


def test_infinite_products_do_not_agree() -> None:
    op = wb.curvature.hessian(build("mlp").problem())
    assert not op._agree([torch.tensor([torch.inf, 1.0])], [torch.tensor([1.0, 5.0])])


def test_a_model_without_such_functions_is_not_tried() -> None:
    op = wb.curvature.hessian(build("mlp").problem())
    op.plan()
    assert not op._knows
