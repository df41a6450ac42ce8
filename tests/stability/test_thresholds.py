"""Thresholds against the eigenvalues of the steps, and against the optimisers run on quadratics."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop

from workbench.stability import sharpness_threshold

Make = Callable[[list[Tensor]], Optimizer]

SGDS: dict[str, Make] = {
    "plain": lambda p: SGD(p, lr=0.3),
    "decay": lambda p: SGD(p, lr=0.3, weight_decay=0.5),
    "heavy ball": lambda p: SGD(p, lr=0.3, momentum=0.9),
    "little momentum": lambda p: SGD(p, lr=0.3, momentum=0.2),
    "dampened": lambda p: SGD(p, lr=0.3, momentum=0.8, dampening=0.4),
    "heavy ball, decay": lambda p: SGD(p, lr=0.3, momentum=0.5, weight_decay=1.0),
    "nesterov": lambda p: SGD(p, lr=0.3, momentum=0.9, nesterov=True),
    "nesterov, decay": lambda p: SGD(p, lr=0.3, momentum=0.6, nesterov=True, weight_decay=0.5),
}

ADAPTIVE: dict[str, Make] = {
    "adam": lambda p: Adam(p, lr=0.01),
    "adam, other betas": lambda p: Adam(p, lr=0.01, betas=(0.6, 0.99)),
    "amsgrad": lambda p: Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: AdamW(p, lr=0.01, weight_decay=10.0),
    "rmsprop": lambda p: RMSprop(p, lr=0.01),
    "rmsprop, momentum": lambda p: RMSprop(p, lr=0.01, momentum=0.9),
}


@pytest.mark.parametrize("name", SGDS)
def test_sgd_converges_just_below_and_diverges_just_above(name: str) -> None:
    found = sharpness_threshold(SGDS[name]([torch.ones(1)]))
    assert not found.preconditioned
    for factor, expected in ((0.98, "converges"), (1.02, "diverges")):
        theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = SGDS[name]([theta])
        for _ in range(3000):
            theta.grad = factor * found.value * theta.detach()
            optimizer.step()
        size = abs(theta.item())
        assert size < 1e-6 if expected == "converges" else size > 1e6 or np.isnan(size)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_with_the_scale_held_fixed_adaptive_methods_do_so_too(name: str) -> None:
    """The second moment is put back to a given value before each step; its own update then hardly counts."""
    second, curvature = 4.0, 1.0
    for factor, expected in ((0.98, "converges"), (1.02, "diverges")):
        theta = torch.full((1,), 1e-3, dtype=torch.float64, requires_grad=True)
        optimizer = ADAPTIVE[name]([theta])
        found = sharpness_threshold(optimizer)
        assert found.preconditioned
        theta.grad = torch.zeros_like(theta)
        optimizer.step()
        state = optimizer.state[theta]
        group = optimizer.param_groups[0]
        curvature = factor * found.value * second**0.5
        start = abs(theta.item())
        for _ in range(400):
            # So that what the step divides by is the root of `second`, whatever it adds to the moment.
            gradient = curvature * theta.detach()
            decay = group["betas"][1] if "betas" in group else group["alpha"]
            key = "exp_avg_sq" if "betas" in group else "square_avg"
            if "step" in state and "betas" in group:
                state["step"].fill_(10**6)  # past the bias correction
            state[key].copy_((second - (1 - decay) * gradient.square()) / decay)
            if "max_exp_avg_sq" in state:
                state["max_exp_avg_sq"].fill_(0.0)
            theta.grad = gradient
            optimizer.step()
            if abs(theta.item()) > 1e3 * start:
                break
        assert (abs(theta.item()) < start) if expected == "converges" else (abs(theta.item()) > start)


def momentum_step(curvature: float, rate: float, beta: float) -> np.ndarray:
    """θ' = θ − η b', b' = β b + λθ, as a matrix of (θ, b)."""
    return np.array([[1 - rate * curvature, -rate * beta], [curvature, beta]])


def nesterov_step(curvature: float, rate: float, beta: float) -> np.ndarray:
    """θ' = θ − η (λθ + β b')."""
    return np.array(
        [[1 - rate * curvature * (1 + beta), -rate * beta**2], [curvature, beta]],
    )


def adam_step(curvature: float, rate: float, beta: float) -> np.ndarray:
    """θ' = θ − η m', m' = β m + (1 − β)λθ."""
    return np.array([[1 - rate * (1 - beta) * curvature, -rate * beta], [(1 - beta) * curvature, beta]])


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize(
    ("step", "make"),
    [
        (momentum_step, lambda beta: SGD([torch.ones(1)], lr=0.2, momentum=beta)),
        (nesterov_step, lambda beta: SGD([torch.ones(1)], lr=0.2, momentum=beta, nesterov=beta > 0)),
        (adam_step, lambda beta: Adam([torch.ones(1)], lr=0.2, betas=(beta, 0.999))),
    ],
)
def test_the_spectral_radius_of_a_step_passes_one_there(beta: float, step: Any, make: Any) -> None:
    value = sharpness_threshold(make(beta)).value
    for factor in np.linspace(0.01, 0.999, 50):  # nowhere below, not only just below
        assert np.abs(np.linalg.eigvals(step(factor * value, 0.2, beta))).max() < 1
    assert np.abs(np.linalg.eigvals(step(value, 0.2, beta))).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(np.linalg.eigvals(step(1.001 * value, 0.2, beta))).max() > 1


def test_known_numbers() -> None:
    p = [torch.ones(1)]
    assert sharpness_threshold(SGD(p, lr=0.1)) == (pytest.approx(20), False, "2/η")
    assert sharpness_threshold(SGD(p, lr=0.1, momentum=0.9)).value == pytest.approx(38)
    assert sharpness_threshold(Adam(p, lr=0.1)) == (pytest.approx(380), True, "(2 + 2β₁)/(η(1 − β₁))")
    assert sharpness_threshold(SGD(p, lr=torch.tensor(0.1))).value == pytest.approx(20)


def test_groups_that_agree_have_one_threshold() -> None:
    first, second = torch.ones(1), torch.ones(1)
    groups = [{"params": [first]}, {"params": [second], "lr": 0.2}]
    with pytest.raises(ValueError, match=r"different thresholds \(20, 10\)"):
        sharpness_threshold(SGD(groups, lr=0.1))
    groups[1]["lr"] = 0.1
    assert sharpness_threshold(SGD(groups, lr=0.1)).value == pytest.approx(20)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: NAdam(p), "the threshold of NAdam is not known: use SGD"),
        (lambda p: SGD(p, lr=0.0), "lr=0.0 is out of range"),
        (lambda p: SGD(p, lr=0.1, momentum=1.0), "momentum=1.0 is out of range"),
        (lambda p: SGD(p, lr=0.1, maximize=True), "maximize=True goes uphill"),
        (lambda p: SGD(p, lr=0.1, momentum=0.9, dampening=1.0), "dampening=1.0 is out of range"),
        (lambda p: Adam(p, lr=0.1, weight_decay=0.1), "Adam divides weight_decay=0.1"),
        (lambda p: RMSprop(p, lr=0.1, weight_decay=0.1), "RMSprop divides weight_decay=0.1"),
    ],
)
def test_what_has_no_threshold_is_refused(make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sharpness_threshold(make([torch.ones(1)]))
