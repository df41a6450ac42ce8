"""Chains of dense layers against the dense Hessian of torch's own functional differentiation."""

from collections.abc import Callable

import pytest
import torch
from mixing_network import Mixing
from torch import Tensor, nn
from torch.func import functional_call

import workbench as wb
from workbench.curvature.operators import dense_chain


class Residual(nn.Module):
    """What one layer returns goes past the next."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.last(hidden + torch.tanh(self.second(hidden)))


class Parallel(nn.Module):
    """Two layers see the same."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.last(torch.tanh(self.second(hidden)) + torch.tanh(self.third(hidden)))


class Scaled(nn.Sequential):
    """Something follows the last layer."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def layers(between: Callable[[], nn.Module], *, bias: bool = True) -> list[nn.Module]:
    return [nn.Linear(5, 7, bias), between(), nn.Linear(7, 7, bias), between(), nn.Linear(7, 3)]


def partly_frozen(name: str) -> nn.Module:
    model = nn.Sequential(*layers(nn.Tanh))
    model.get_parameter(name).requires_grad_(False)
    return model


CHAINS = {
    "tanh": lambda: nn.Sequential(*layers(nn.Tanh)),
    "gelu without biases": lambda: nn.Sequential(*layers(nn.GELU, bias=False)),
    "relu in place": lambda: nn.Sequential(*layers(lambda: nn.ReLU(inplace=True))),
    "linear": lambda: nn.Sequential(*layers(nn.Identity)),
    "one layer": lambda: nn.Linear(5, 3),
    "a frozen bias": lambda: partly_frozen("2.bias"),
}
OTHERS = {
    "residual": Residual,
    "mixing": lambda: Mixing(5),
    "parallel": Parallel,
    "scaled": lambda: Scaled(*layers(nn.Tanh)),
    "softmax": lambda: nn.Sequential(*layers(lambda: nn.Softmax(-1))),
    "normalised": lambda: nn.Sequential(*layers(lambda: nn.LayerNorm(7, elementwise_affine=False))),
    "a frozen weight": lambda: partly_frozen("2.weight"),
    "gated": lambda: nn.Sequential(nn.Linear(5, 6), nn.GLU(), nn.Linear(3, 3)),
}
LOSSES = {"cross entropy": nn.CrossEntropyLoss(), "squared": nn.MSELoss(), "huber": nn.HuberLoss(delta=0.3)}


def problem_of(make: Callable[[], nn.Module], loss: nn.Module, *, positions: int = 0) -> wb.Problem:
    torch.manual_seed(0)
    model = make().double().eval()
    shape = (9, positions) if positions else (9,)
    x = torch.randn(*shape, 5, dtype=torch.float64)
    y = (
        torch.randint(0, 3, (9,))
        if isinstance(loss, nn.CrossEntropyLoss)
        else torch.randn(*shape, 3).double()
    )
    return wb.Problem(model, loss, list(zip(x.split([5, 4]), y.split([5, 4]), strict=True)), weight="batch")


def exact_hessian(problem: wb.Problem) -> Tensor:
    """The Hessian of the mean over batches, by torch.autograd.functional."""
    names = [slice_.name for slice_ in problem.layout]

    def loss(vector: Tensor) -> Tensor:
        parts = [vector[s.start : s.stop].view(s.shape) for s in problem.layout]
        state = dict(zip(names, parts, strict=True))
        losses = [
            problem.loss(functional_call(problem.model, state, (batch[0],)), batch[1])
            for batch, _ in problem.batches()
        ]
        return torch.stack(losses).mean()

    return torch.autograd.functional.hessian(loss, problem.parameters_vector())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_gives_the_exact_hessian(name: str, loss: str) -> None:
    problem = problem_of(CHAINS[name], LOSSES[loss])
    op = wb.curvature.hessian(problem)
    expected = exact_hessian(problem)
    torch.testing.assert_close(op.dense(), expected, rtol=1e-10, atol=1e-13)
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    torch.testing.assert_close(op @ vector, expected @ vector, rtol=1e-10, atol=1e-13)
    assert op.plan().method == "structured"


def test_a_chain_at_several_positions_of_an_example() -> None:
    problem = problem_of(CHAINS["tanh"], nn.MSELoss(), positions=4)
    op = wb.curvature.hessian(problem)
    torch.testing.assert_close(op.dense(), exact_hessian(problem), rtol=1e-10, atol=1e-13)
    assert op.plan().method == "structured"


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_chain_takes_graphs_and_is_right(name: str) -> None:
    problem = problem_of(OTHERS[name], nn.CrossEntropyLoss())
    op = wb.curvature.hessian(problem)
    torch.testing.assert_close(op.dense(), exact_hessian(problem), rtol=1e-10, atol=1e-13)
    assert op.plan().method == "retained"


@pytest.mark.parametrize("name", ["residual", "mixing", "parallel"])
def test_rounding_of_a_coarse_dtype_hides_no_fault(name: str) -> None:
    torch.manual_seed(0)
    model = OTHERS[name]().to(torch.bfloat16)
    data = [(torch.randn(9, 5, dtype=torch.bfloat16), torch.randint(0, 3, (9,)))]
    op = wb.curvature.hessian(wb.Problem(model, nn.CrossEntropyLoss(), data, weight="batch"))
    assert op.plan().method == "retained"


def test_a_chain_in_bfloat16_is_right_to_its_rounding() -> None:
    torch.manual_seed(0)
    coarse = nn.Sequential(*layers(nn.Tanh)).to(torch.bfloat16)
    data = [(torch.randn(9, 5, dtype=torch.bfloat16), torch.randint(0, 3, (9,)))]
    problem = wb.Problem(coarse, nn.CrossEntropyLoss(), data)
    op, vector = wb.curvature.hessian(problem), torch.randn(problem.num_parameters)
    assert op.plan().method == "structured"
    expected = exact_hessian(problem.to(dtype=torch.float64)) @ vector.double()
    assert (op @ vector - expected).norm() <= 0.02 * expected.norm()


def test_a_loss_that_reads_the_weights_takes_graphs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*layers(nn.Tanh)).double()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets) + model[0].weight.pow(4).sum()  # type: ignore[operator, union-attr]

    data = [(torch.randn(6, 5, dtype=torch.float64), torch.randint(0, 3, (6,)))]
    op = wb.curvature.hessian(wb.Problem(model, loss, data, weight="batch"))
    assert op.plan().method == "retained"


def test_wide_columns_are_multiplied_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    op = wb.curvature.hessian(problem_of(CHAINS["tanh"], nn.CrossEntropyLoss()))
    block = torch.randn(op.shape[0], 5, dtype=torch.float64)
    together = op @ block
    for entries in (1, 2 * 5 * 7):  # one column at a time, and two
        monkeypatch.setattr(dense_chain, "_TOGETHER", entries)
        torch.testing.assert_close(op @ block, together, rtol=1e-12, atol=1e-15)


def test_autocast_takes_graphs_though_the_plan_was_made_without() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*layers(nn.Tanh))
    problem = wb.Problem(model, nn.CrossEntropyLoss(), [(torch.randn(8, 5), torch.randint(0, 3, (8,)))])
    op, vector = wb.curvature.hessian(problem), torch.randn(problem.num_parameters)
    assert op.plan().method == "structured"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse, expected = op @ vector, wb.curvature.hessian(problem, memory=0, check=False) @ vector
    torch.testing.assert_close(coarse, expected, rtol=0, atol=0)
    assert (coarse - op @ vector).abs().max() > 1e-4


def test_stored_bytes_are_what_is_kept() -> None:
    problem = problem_of(CHAINS["tanh"], nn.CrossEntropyLoss())
    op = wb.curvature.hessian(problem)
    plan = op.plan()
    stored = 0
    for batch, _ in problem.batches():
        chain = op._build(problem.leaves(), batch, plan.method)
        tensors = [t for layer in chain._layers for t in (layer.input, layer.delta)]  # type: ignore[attr-defined]
        tensors += [t for bend in chain._bends for t in (bend.slope, bend.curvature)]  # type: ignore[attr-defined]
        stored += sum(tensor.numel() * tensor.itemsize for tensor in tensors)
    assert stored <= plan.kept_bytes <= stored + 9 * 8 * 2 * 3  # the last layer has no function after it
    assert wb.curvature.hessian(problem, memory=plan.kept_bytes - 1).plan().method != "structured"
