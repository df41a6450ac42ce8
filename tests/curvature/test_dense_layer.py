"""The dense layer for several columns against torch's own gradient, differentiated by torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.curvature.operators.dense_layer import Linear

NAMES = ("x", "weight", "bias")


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def operands(shape: tuple[int, ...], wanted: tuple[str, ...] = NAMES) -> tuple[list[Tensor], list[Tensor]]:
    """An input, a weight and a bias, and those of them that are wanted, as leaves."""
    given = [numbers(*shape, 5), numbers(4, 5), numbers(4)]
    leaves = [tensor.requires_grad_() for name, tensor in zip(NAMES, given, strict=True) if name in wanted]
    return given, leaves


def pullback(values: Tensor, inputs: list[Tensor], g: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(values, inputs, g, create_graph=True)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 0)])
@pytest.mark.parametrize("wanted", [NAMES, ("x",), ("weight",), ("bias",), ("x", "bias")])
def test_the_pullback_and_its_derivative_are_torchs(shape: tuple[int, ...], wanted: tuple[str, ...]) -> None:
    given, inputs = operands(shape, wanted)
    g = numbers(*shape, 4).requires_grad_()
    found, expected = Linear.apply(*given), F.linear(*given)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    firsts = [pullback(values, inputs, g) for values in (found, expected)]
    torch.testing.assert_close(*firsts)
    along = [numbers(*part.shape) for part in firsts[0]]
    torch.testing.assert_close(*[torch.autograd.grad(first, g, along) for first in firsts])


def test_without_a_bias() -> None:
    (x, weight, _), inputs = operands((3,), ("x", "weight"))
    g = numbers(3, 4)
    torch.testing.assert_close(
        pullback(Linear.apply(x, weight, None), inputs, g), pullback(F.linear(x, weight), inputs, g)
    )


def test_gradients_are_constants_in_the_input_and_the_weight() -> None:
    given, inputs = operands((3,))
    first = pullback(Linear.apply(*given), inputs, numbers(3, 4).requires_grad_())
    assert torch.autograd.grad(first[0].sum(), inputs, allow_unused=True) == (None, None, None)


def test_columns_together_are_columns_alone() -> None:
    given, inputs = operands((2, 3))
    g = numbers(2, 3, 4).requires_grad_()
    values = Linear.apply(*given)
    first = pullback(values, inputs, g)

    def push(*along: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(first, g, along, retain_graph=True)

    def pull(covector: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(values, inputs, covector, retain_graph=True)

    covectors, along = numbers(6, 2, 3, 4), [numbers(6, *part.shape) for part in first]
    for work, columns in ((pull, [covectors]), (push, along)):
        together = torch.vmap(work)(*columns)
        for i in range(6):
            torch.testing.assert_close(work(*[part[i] for part in columns]), tuple(p[i] for p in together))
