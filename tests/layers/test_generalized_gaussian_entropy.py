"""The entropy layer: noise in training, rounding in eval mode, parameters within their bounds."""

import math

import pytest
import torch
from torch import Tensor

from workbench.kernels import generalized_gaussian_bits
from workbench.layers import GeneralizedGaussianEntropy
from workbench.layers.scale_bounds import scale_bound


def given(count: int = 2000, seed: int = 0) -> list[Tensor]:
    """Latents, means, and what a network would say of scales and shapes."""
    random = torch.Generator().manual_seed(seed)
    return list(torch.randn(4, count, generator=random) * torch.tensor([5.0, 1.0, 2.0, 3.0])[:, None])


def test_rounding_is_about_the_mean_and_its_bits_are_the_formula() -> None:
    layer = GeneralizedGaussianEntropy().eval()
    latents, mean, scale, shape = given()
    quantised, bits = layer(latents, mean, scale, shape)
    whole = quantised - mean
    torch.testing.assert_close(whole, whole.round(), atol=1e-5, rtol=0)
    assert (quantised - latents).abs().max() <= 0.5 + 1e-5
    alpha, beta = layer.distribution(scale, shape)
    expected = generalized_gaussian_bits(whole.round(), torch.zeros(()), alpha, beta)
    assert torch.equal(bits, expected)


def test_training_adds_uniform_noise_that_the_seed_fixes() -> None:
    layer = GeneralizedGaussianEntropy(2.0)
    latents, mean, scale, _ = given()
    torch.manual_seed(0)
    first, bits = layer(latents, mean, scale)
    torch.manual_seed(0)
    assert torch.equal(layer(latents, mean, scale)[1], bits)
    noise = first - latents
    assert noise.abs().max() <= 0.5 + 1e-5
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.1)


def test_noise_of_coarse_latents_is_as_fine_as_in_float32() -> None:
    layer = GeneralizedGaussianEntropy(2.0)
    exact = [each.bfloat16().float() for each in given()[:3]]
    coarse = [each.bfloat16() for each in exact]
    torch.manual_seed(0)
    quantised, bits = layer(*exact)
    torch.manual_seed(0)
    found, found_bits = layer(*coarse)
    assert torch.equal(found_bits, bits)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, quantised.bfloat16())


def test_coarse_latents_are_rounded_about_the_mean_as_in_float32() -> None:
    layer = GeneralizedGaussianEntropy().eval()
    exact = [each.bfloat16().float() for each in given()]
    coarse = [each.bfloat16().requires_grad_() for each in exact]
    quantised, bits = layer(*exact)
    found, found_bits = layer(*coarse)
    assert torch.equal(found_bits, bits)
    assert torch.equal(found, quantised.bfloat16())
    found_bits.sum().backward()
    assert coarse[3].grad.dtype == torch.bfloat16


@pytest.mark.parametrize("bound", ["tail", "proportional", "constant", "none"])
def test_scales_and_shapes_are_within_their_bounds(bound: str) -> None:
    layer = GeneralizedGaussianEntropy(shapes=(0.5, 3.0), bound=bound)
    _, _, scale, shape = given()
    alpha, beta = layer.distribution(10 * scale, 10 * shape)
    assert beta.min() == 0.5
    assert beta.max() == 3.0
    assert (alpha >= scale_bound(beta, bound)).all()
    assert (alpha == scale_bound(beta, bound)).any()


def test_a_fixed_shape_is_the_same_for_all() -> None:
    latents, mean, scale, _ = given(50)
    layer = GeneralizedGaussianEntropy(1.0).eval()
    _, bits = layer(latents, mean, scale)
    alpha, beta = layer.distribution(scale)
    assert beta.eq(1).all()
    whole, scale = (latents - mean).round().double().abs(), alpha.double()
    about = torch.log(-torch.expm1(-0.5 / scale))
    beyond = torch.log(-torch.expm1(-1 / scale) / 2) - (whole - 0.5) / scale
    expected = -torch.where(whole == 0, about, beyond) / math.log(2)
    torch.testing.assert_close(bits.double(), expected, rtol=3e-6, atol=1e-6)


def test_training_finds_the_scale_and_the_shape_of_what_it_sees() -> None:
    """Maximum likelihood of 20000 draws with β = 0.8 and α = 3, from a start far away."""
    random = torch.Generator().manual_seed(0)
    gamma = torch._standard_gamma(torch.full((20_000,), 1 / 0.8), generator=random)
    sign = torch.randint(0, 2, (20_000,), generator=random) * 2 - 1
    latents = 3 * sign * gamma ** (1 / 0.8)
    raw = torch.tensor([8.0, 2.0], requires_grad=True)
    layer = GeneralizedGaussianEntropy().eval()  # rounded: what is coded
    optimizer = torch.optim.LBFGS([raw], max_iter=30, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        bits = layer(latents, torch.zeros(()), raw[0], raw[1])[1].mean()
        bits.backward()
        return bits

    optimizer.step(loss)
    alpha, beta = layer.distribution(raw[0], raw[1])
    assert beta.item() == pytest.approx(0.8, abs=0.03)  # three standard errors
    assert alpha.item() == pytest.approx(3, abs=0.3)


def test_what_is_not_allowed_is_refused() -> None:
    latents, mean, scale, shape = given(5)
    with pytest.raises(ValueError, match="shape is missing"):
        GeneralizedGaussianEntropy()(latents, mean, scale)
    with pytest.raises(ValueError, match=r"shape is 2\.0 for all: pass none"):
        GeneralizedGaussianEntropy(2.0)(latents, mean, scale, shape)
    with pytest.raises(ValueError, match=r"largest shape=0\.2 is out of range"):
        GeneralizedGaussianEntropy(shapes=(0.3, 0.2))
    with pytest.raises(ValueError, match="shape=nan"):
        GeneralizedGaussianEntropy(math.nan)
    with pytest.raises(ValueError, match="did you mean 'constant'"):
        GeneralizedGaussianEntropy(bound="constnat")
