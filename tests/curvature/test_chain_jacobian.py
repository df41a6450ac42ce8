"""Chains of dense layers against the Jacobian by torch."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from workbench.curvature.operators.chain_jacobian import ChainJacobian, chain_jacobian
from workbench.curvature.operators.layer_calls import RecordLayers


def found(model: nn.Module, x: Tensor) -> tuple[ChainJacobian | None, list[Tensor]]:
    """The chain that a forward pass goes through, and its parameters."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    record = RecordLayers(parameters)
    with record:
        head = model(x)
    return chain_jacobian(record.calls, head), parameters


def chain(bias: bool) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 7, bias=bias), nn.SiLU(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3, bias=bias)
    ).double()


@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_the_jacobian(bias: bool) -> None:
    model, x = chain(bias), torch.randn(6, 4, dtype=torch.float64)
    jacobian, parameters = found(model, x)
    assert jacobian is not None
    blocks = jacrev(lambda values: functional_call(model, values, x))(dict(model.named_parameters()))
    vectors = [torch.randn_like(parameter) for parameter in parameters]
    covector = torch.randn(6, 3, dtype=torch.float64)
    with torch.no_grad():
        pushed, pulled = jacobian.push(vectors), jacobian.pull(covector)
    expected = sum(
        (block.flatten(2) @ v.flatten()) for block, v in zip(blocks.values(), vectors, strict=True)
    )
    torch.testing.assert_close(pushed, expected, rtol=1e-12, atol=1e-13)
    for part, block in zip(pulled, blocks.values(), strict=True):
        torch.testing.assert_close(
            part, torch.einsum("nc,nc...->...", covector, block), rtol=1e-12, atol=1e-13
        )


@pytest.mark.parametrize(
    "between",
    [nn.LayerNorm(7), nn.Softmax(dim=1), nn.Sequential(nn.Tanh(), nn.Linear(7, 7))],
    ids=["normalised", "softmax", "frozen layer"],
)
def test_functions_that_mix_entries_make_no_chain(between: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 7), between, nn.Linear(7, 3)).double()
    for parameter in between.parameters():
        parameter.requires_grad_(False)
    assert found(model, torch.randn(6, 4, dtype=torch.float64))[0] is None


def test_layers_apart_make_no_chain() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.left(x) + self.right(x)

    assert found(Branches(), torch.randn(6, 4))[0] is None
