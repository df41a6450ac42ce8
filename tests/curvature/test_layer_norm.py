"""The layer normalisation with derivatives of its own against torch's gradient, differentiated by torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.curvature.operators.layer_norm import LayerNorm

NAMES = ("g", "x", "weight")


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def operands(shape: tuple[int, ...]) -> list[Tensor]:
    """An input with means far from 0, weight, bias and a covector, all leaves."""
    x, weight, bias, g = 3 + numbers(*shape), numbers(shape[-1]), numbers(shape[-1]), numbers(*shape)
    return [tensor.clone().requires_grad_() for tensor in (x, weight, bias, g)]


def gradients(values: Tensor, x: Tensor, weight: Tensor, bias: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(values, (x, weight, bias), g, create_graph=True)


@pytest.mark.parametrize("shape", [(6,), (3, 5), (2, 3, 4)])
def test_both_derivatives_are_torchs(shape: tuple[int, ...]) -> None:
    x, weight, bias, g = operands(shape)
    found, expected = (
        LayerNorm.apply(x, weight, bias, 1e-2, True),
        F.layer_norm(x, shape[-1:], weight, bias, 1e-2),
    )
    torch.testing.assert_close(found, expected)
    firsts = [gradients(values, x, weight, bias, g) for values in (found, expected)]
    torch.testing.assert_close(*firsts)
    along = [numbers(*part.shape) for part in firsts[0]]
    seconds = [torch.autograd.grad(first, (g, x, weight), along) for first in firsts]
    for name, one, other in zip(NAMES, *seconds, strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"by {name}: {text}")


def test_as_a_constant_it_is_differentiated_in_the_covector_alone() -> None:
    x, weight, bias, g = operands((3, 5))
    firsts = [
        gradients(values, x, weight, bias, g)
        for values in (LayerNorm.apply(x, weight, bias, 1e-5, False), F.layer_norm(x, (5,), weight, bias))
    ]
    along = [numbers(*part.shape) for part in firsts[0]]
    seconds = [torch.autograd.grad(first, (g, x), along, allow_unused=True) for first in firsts]
    torch.testing.assert_close(seconds[0][0], seconds[1][0])
    assert seconds[0][1] is None


def test_several_covectors_at_once() -> None:
    x, weight, bias, _ = operands((3, 5))
    values = LayerNorm.apply(x, weight, bias, 1e-5, True)
    covectors = numbers(4, 3, 5)
    together = torch.vmap(lambda g: torch.autograd.grad(values, (x, weight, bias), g, retain_graph=True))(
        covectors
    )
    for i, g in enumerate(covectors):
        alone = torch.autograd.grad(values, (x, weight, bias), g, retain_graph=True)
        torch.testing.assert_close(alone, tuple(part[i] for part in together))


def test_a_third_derivative_is_refused() -> None:
    x, weight, bias, g = operands((3, 5))
    (first, *_) = gradients(LayerNorm.apply(x, weight, bias, 1e-5, True), x, weight, bias, g)
    (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.square().sum().backward()
