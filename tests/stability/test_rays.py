"""Rays: the linearised loss against the true one, and polynomials against derivatives by autograd."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import workbench as wb
from workbench.progress import listening
from workbench.stability import logits_and_slopes, ray, taylor_radius
from workbench.stability.rays import Ray


def problem(loss=None, classes: int = 3, targets: torch.Tensor | None = None) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, classes)).double()
    inputs = torch.randn(12, 4, dtype=torch.float64)
    if targets is None:
        targets = torch.randint(0, classes, (12,))
    return wb.Problem(
        model, loss or nn.CrossEntropyLoss(), [(inputs[:5], targets[:5]), (inputs[5:], targets[5:])]
    )


def derivatives(trained: wb.Problem, unit: torch.Tensor, order: int) -> list[float]:
    """Taylor coefficients of the loss of linearised logits, by autograd through the loss itself."""
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    theta = dict(trained.model.named_parameters())
    step = trained.as_parameters(unit)
    total = torch.zeros((), dtype=torch.float64)
    for batch, share in trained.batches():
        outputs, tangents = torch.func.jvp(
            lambda values, batch=batch: torch.func.functional_call(trained.model, values, (batch[0],)),
            ({name: value.detach() for name, value in theta.items()},),
            (step,),
        )
        total = total + share * trained.loss(outputs + t * tangents, batch[1])
    found = [total.item()]
    for n in range(1, order + 1):
        (total,) = torch.autograd.grad(total, t, create_graph=True)
        found.append(total.item() / math.factorial(n))
    return found


WEIGHTS = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
CLASSES = torch.tensor([0, 2, 1, 1, -100, 0, 1, 2, -100, 1, 0, 2])
BINARY = (torch.arange(12) % 3 == 0).double()[:, None]
LOSSES = {
    "plain": (None, 3, None),
    "weights, ignored, smoothed": (nn.CrossEntropyLoss(WEIGHTS, label_smoothing=0.1), 3, CLASSES),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), 3, None),
    "binary": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.5, dtype=torch.float64)), 1, BINARY),
    "function": (lambda z, y: 2 * F.cross_entropy(z, y), 3, None),
    "partial": (functools.partial(F.cross_entropy, label_smoothing=0.3), 3, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_coefficients_are_the_derivatives_of_the_linearised_loss(name: str) -> None:
    trained = problem(*LOSSES[name])
    vector = trained.gradient()
    found = ray(trained, vector, points=3, order=6)
    expected = derivatives(trained, vector / vector.norm(), 6)
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-9, atol=1e-12)


def test_along_the_last_layer_the_linearised_loss_is_the_true_one() -> None:
    last = problem().restrict("2.*")
    found = ray(last, "random", points=21)
    np.testing.assert_allclose(found.linearised, found.loss, rtol=1e-12)
    assert found.bend < 1e-10
    inside = np.abs(found.distance) <= 0.35 * found.radii["exact"]
    far = ray(last, "random", points=21, order=60)
    np.testing.assert_allclose(far.polynomials[-1][inside], far.loss[inside], rtol=1e-10)
    at_the_end = np.abs(far.polynomials[[20, 60], -1] - far.loss[-1])
    assert at_the_end[1] > 1e6 * at_the_end[0] > 1  # two radii away


def test_losses_are_those_of_moved_parameters() -> None:
    trained = problem()
    found = ray(trained, "gradient", reach=0.8, points=5)
    np.testing.assert_allclose(found.distance, [-0.8, -0.4, 0, 0.4, 0.8])
    unit = trained.gradient() / trained.gradient().norm()
    for tau, loss in zip(found.distance, found.loss, strict=True):
        assert loss == pytest.approx(trained.loss_at(trained.parameters_vector() + tau * unit))
    slope = trained.gradient().norm().item()
    np.testing.assert_allclose(found.coefficients[:2], [trained.loss_at(), slope])
    assert found.bend > 1e-3


def test_a_polynomial_is_the_sum_of_its_terms() -> None:
    found = ray(problem(), "gradient", points=3, order=2)
    c, tau = found.coefficients, found.distance[-1]
    np.testing.assert_allclose(found.polynomials[:, -1], [c[0], c[0] + c[1] * tau, c @ [1, tau, tau**2]])
    assert list(found.frame()) == ["distance", "loss", "linearised", "order_1", "order_2"]


def test_radii_are_those_of_the_primitives_and_set_the_reach() -> None:
    trained = problem()
    found = ray(trained, "gradient", points=3)
    for kind, radius in found.radii.items():
        assert radius == pytest.approx(taylor_radius(trained, "gradient", kind).radius, rel=1e-12)
    assert found.certified
    assert found.distance[-1] == pytest.approx(2 * found.radii["exact"])
    assert found.step is None


def test_an_optimizer_has_its_own_step() -> None:
    trained = problem()
    optimizer = torch.optim.SGD(trained.model.parameters(), lr=0.3)
    found = ray(trained, optimizer, points=3)
    assert found.step == pytest.approx(0.3 * trained.gradient().norm().item())
    assert found.coefficients[1] == pytest.approx(-trained.gradient().norm().item())
    assert "step" in found.summary()


def test_a_direction_that_moves_no_logit_has_a_flat_ray() -> None:
    trained = problem()
    vector = torch.zeros(trained.num_parameters, dtype=torch.float64)
    vector[-3:] = 0.5  # all biases of the outputs alike
    found = ray(trained, vector, points=3)
    assert set(found.radii.values()) == {math.inf}
    np.testing.assert_allclose(found.coefficients, [trained.loss_at(), *[0] * 8], atol=1e-15)
    assert found.distance[-1] == pytest.approx(vector.norm().item())
    found.plot()


def test_the_model_and_its_slopes_stay_as_they_were() -> None:
    trained = problem()
    before = trained.parameters_vector().clone()
    ray(trained, "gradient", points=3)
    assert trained.parameters_vector().equal(before)
    assert all(parameter.grad is None for parameter in trained.model.parameters())
    assert len(list(logits_and_slopes(trained, before))) == 2


def test_an_interrupt_keeps_the_losses_so_far() -> None:
    calls = 0

    def stop(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    with listening(stop):
        found = ray(problem(), "gradient", points=9)
    assert found.interrupted
    done = ~np.isnan(found.loss)
    assert 0 < done.sum() < 9
    assert done[4]
    assert np.isfinite(found.linearised).all()
    assert "INTERRUPTED" in found.summary()
    found.plot()


def test_a_saved_ray_is_read_back(tmp_path) -> None:
    found = ray(problem(), "gradient", points=3)
    again = wb.load_result(found.save(tmp_path / "ray.zip"))
    assert isinstance(again, Ray)
    assert again.frame().equals(found.frame())
    assert again.radii == found.radii


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 0}, "order=0 is out of range"),
        ({"points": 4}, "points=4 is even"),
        ({"reach": -1.0}, "reach=-1.0 is out of range"),
        ({"direction": "gradeint"}, "did you mean 'gradient'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ray(problem(), **{"direction": "gradient", **arguments})
