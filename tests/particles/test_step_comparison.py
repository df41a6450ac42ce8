"""Consensus steps against the closed form on a quadratic, and the link to the gradient in both regimes."""

import pytest
import torch

from workbench.particles import sphere, step_comparison


def curvatures(dim: int) -> torch.Tensor:
    return torch.linspace(1, 5, dim, dtype=torch.float64)


def bowl(points: torch.Tensor) -> torch.Tensor:
    return (points.square() * curvatures(points.shape[-1])).sum(-1) / 2


@pytest.mark.parametrize(
    ("dim", "width", "alpha"), [(2, 0.01, 10.0), (2, 0.1, 10.0), (2, 0.5, 10.0), (10, 0.1, 1.0)]
)
def test_the_mean_step_is_the_closed_form(dim: int, width: float, alpha: float) -> None:
    x = torch.full((dim,), 0.5, dtype=torch.float64)
    found = step_comparison(bowl, x, [alpha], width=width, repeats=40)
    tau = alpha * width**2
    exact = -tau * curvatures(dim) * x / (1 + tau * curvatures(dim))
    torch.testing.assert_close(found.proximal[0], exact, rtol=1e-6, atol=0)
    steps = found.steps[0]
    error = (steps.mean(0) - exact) / (steps.std(0) / 40**0.5)
    # The weighted mean is a ratio: its bias is about 1 / ess of the step, below its error.
    assert error.abs().max() < 4.5
    if alpha * width < 0.2:  # nearly linear over the cloud
        assert found.ess.mean() == pytest.approx(found.predicted_ess[0].item(), rel=0.05)


def test_at_fixed_tau_a_rising_alpha_turns_the_step_to_the_proximal_one() -> None:
    x = torch.tensor([0.1, 0.1], dtype=torch.float64)
    found = step_comparison(bowl, x, [1.0, 10.0, 100.0], tau=0.5, particles=200_000, repeats=10)
    assert (found.ess.mean(1) > 1000).all()
    assert (found.cosine_proximal.mean(1) > 0.99).all()
    torch.testing.assert_close(found.taus, torch.full((3,), 0.5, dtype=torch.float64))


def test_with_tau_to_nothing_the_proximal_step_is_against_the_gradient() -> None:
    x = torch.tensor([0.3, 0.2], dtype=torch.float64)
    cosines = [
        step_comparison(
            bowl, x, [20.0], tau=tau, particles=100_000, repeats=4
        ).proximal_cosine_gradient.item()
        for tau in (1.0, 0.1, 0.01)
    ]
    assert cosines == sorted(cosines)
    assert 1 - cosines[-1] < 1e-4


def test_at_fixed_width_the_cosine_falls_with_alpha_and_the_sample_size_says_why() -> None:
    x = torch.full((10,), 10**-0.5, dtype=torch.float64)
    found = step_comparison(bowl, x, [1.0, 10.0, 100.0], width=0.1)
    cosine, ess = found.cosine_gradient.mean(1), found.ess.mean(1)
    assert cosine[0] > cosine[1] > cosine[2]
    assert ess[0] > ess[1] > ess[2]
    assert found.proximal_cosine_gradient[2] < found.proximal_cosine_gradient[0]
    table = found.frame()
    assert len(table) == 3
    assert "effective sample size" in found.summary()
    assert found.plot().get_xscale() == "log"


@pytest.mark.parametrize("options", [{}, {"tau": 1.0, "width": 1.0}, {"tau": -1.0}])
def test_what_cannot_be_is_refused(options) -> None:
    with pytest.raises(ValueError, match="tau"):
        step_comparison(bowl, torch.zeros(2), [1.0], **options)
    with pytest.raises(ValueError, match="no gradient"):
        step_comparison(lambda points: points.detach().sum(-1), torch.zeros(2), [1.0], width=1.0)


@pytest.mark.parametrize(
    ("point", "alphas", "options", "message"),
    [
        ([1.0, 2.0], [1.0], {"tau": 0.0}, "tau: 0.0 is out of range"),
        ([1.0, 2.0], [1.0], {"width": 0.0}, "width: 0.0 is out of range"),
        ([1.0, 2.0], [1.0, float("inf")], {"tau": 0.1}, "alphas: inf is out of range"),
        ([1.0, 2.0], [], {"tau": 0.1}, "alphas is empty"),
        (1.0, [1.0], {"tau": 0.1}, "point has shape"),
    ],
)
def test_no_step_without_a_length(point, alphas, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        step_comparison(sphere(), point, alphas, particles=10, repeats=2, **options)


def test_a_point_may_require_a_gradient() -> None:
    found = step_comparison(
        sphere(), torch.ones(2, requires_grad=True), [1.0], tau=0.1, particles=10, repeats=2
    )
    assert len(found.frame()) == 1
