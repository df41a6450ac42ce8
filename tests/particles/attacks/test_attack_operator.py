"""Attacks against their closed form where the network is linear, and against brute force where it is not."""

import itertools

import pytest
import torch
from torch import nn

from workbench.particles.attacks import Surrogate, attack
from workbench.particles.attacks.attack_operator import ascent

GENERATOR = torch.Generator().manual_seed(0)
W = torch.randn(3, 5, generator=GENERATOR, dtype=torch.float64)
D = torch.randn(3, generator=GENERATOR, dtype=torch.float64)
START = torch.randn(5, generator=GENERATOR, dtype=torch.float64)
SLOPE = W.T @ D
STEPS = {"fgsm": SLOPE.sign(), "pgd": SLOPE.sign(), "l2": SLOPE / SLOPE.norm()}


def linear(**options):
    return Surrogate("linear", lambda x: x @ W.T + 1.0, lambda y: y @ D, START, **options)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("radius", [1e-3, 0.7, 20.0])
def test_a_linear_network_is_attacked_in_closed_form(kind, radius) -> None:
    found = attack(linear(), START, radius, kind)
    torch.testing.assert_close(found.step, radius * STEPS[kind], rtol=1e-12, atol=1e-12 * radius)
    assert found.gradients == (10 if kind == "pgd" else 1)


def test_no_corner_of_the_cube_is_better_than_fgsm() -> None:
    corners = torch.tensor(list(itertools.product([-0.3, 0.3], repeat=5)), dtype=torch.float64)
    best = linear().evaluate(START + corners).goal.max()
    found = attack(linear(), START, 0.3, "fgsm").step
    assert linear().evaluate((START + found)[None]).goal[0] == pytest.approx(best.item(), abs=1e-12)


@pytest.mark.parametrize("kind", STEPS)
def test_a_relu_network_is_linear_within_its_piece(kind) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3)).double().requires_grad_(False)
    surrogate = Surrogate("relu", net, lambda y: y @ D, START)
    hidden = net[0](START)
    radius = 0.9 * float(
        (hidden.abs() / net[0].weight.abs().sum(1)).min()
    )  # no unit switches within the cube
    slope = ((net[2].weight * (hidden > 0)) @ net[0].weight).T @ D
    step = attack(surrogate, START, radius, kind).step
    expected = slope / slope.norm() if kind == "l2" else slope.sign()
    torch.testing.assert_close(step, radius * expected, rtol=1e-10, atol=1e-12)
    gain = surrogate.evaluate((START + step)[None]).goal - surrogate.evaluate(START[None]).goal
    assert gain.item() == pytest.approx(radius * float(slope @ expected), rel=1e-9)


def test_the_direction_is_the_gradient_of_the_goal_at_the_outputs() -> None:
    surrogate = Surrogate("square", lambda x: torch.tanh(x @ W.T), lambda y: -(y**3).sum(-1), START)
    outputs = torch.tanh(W @ START)
    torch.testing.assert_close(surrogate.direction(outputs[None])[0], -3 * outputs**2)
    slope = ascent(surrogate, START)
    for place in range(5):  # central differences of f(Phi(x)): the chain rule
        e = 1e-6 * torch.eye(5, dtype=torch.float64)[place]
        ahead, behind = surrogate.evaluate(torch.stack([START + e, START - e])).goal
        assert slope[place].item() == pytest.approx(((ahead - behind) / 2e-6).item(), abs=1e-8)


def test_pgd_stays_in_the_ball_and_beats_fgsm_on_a_bent_network() -> None:
    bent = Surrogate(
        "bent", lambda x: torch.sin(3 * x), lambda y: y.sum(-1), torch.zeros(2, dtype=torch.float64)
    )
    fgsm, pgd = (attack(bent, bent.start, 1.0, kind).step for kind in ("fgsm", "pgd"))
    assert pgd.abs().max() <= 1.0
    values = bent.evaluate(torch.stack([fgsm, pgd])).goal
    assert values[1] > values[0] + 1


def test_an_attack_stays_in_the_box() -> None:
    upper = START + 0.1
    found = attack(linear(upper=upper), START, 1.0, "fgsm").step
    assert ((START + found) <= upper).all()


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize(
    "network", [torch.round, lambda x: x.detach(), lambda x: x / 0], ids=["0", "no", "nan"]
)
def test_a_network_without_a_gradient_gives_no_attack(kind, network) -> None:
    surrogate = Surrogate("blind", network, lambda y: -(y**2).sum(-1), START)
    assert attack(surrogate, START, 1.0, kind).step is None


def test_an_attack_on_the_violation_leads_back() -> None:
    held = linear(constraints=lambda y: y[:, :1] + 100)
    found = attack(held, START, 0.5, "l2", aim="violation").step
    torch.testing.assert_close(found, -0.5 * W[0] / W[0].norm())


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_step_has_its_length_whatever_that_of_the_slope(scale) -> None:
    scaled = Surrogate("scaled", lambda x: scale * x @ W.T, lambda y: y @ D, START)
    step = attack(scaled, START, 0.7, "l2").step
    torch.testing.assert_close(step, 0.7 * STEPS["l2"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", STEPS)
def test_whole_numbers_have_no_gradient(kind) -> None:
    surrogate = Surrogate("whole", lambda x: x.round().long(), lambda y: -(y**2).sum(-1), START)
    assert attack(surrogate, START, 1.0, kind).step is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'fgsm'"):
        attack(linear(), START, 1.0, "fgms")
    with pytest.raises(ValueError, match="radius=0"):
        attack(linear(), START, 0)
    with pytest.raises(ValueError, match="steps=0"):
        attack(linear(), START, 1.0, "pgd", steps=0)
