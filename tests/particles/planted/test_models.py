"""Energies, forces and fields of both models, against exact quadrature, autograd and dense tensors."""

import itertools

import pytest
import torch
from quadrature import energies, sphere_rule

from workbench.particles.planted.index_models import single_index
from workbench.particles.planted.model import field_square
from workbench.particles.planted.sphere import normalise, uniform_points
from workbench.particles.planted.tensors import symmetric_part, tensor_pca

MODELS = pytest.mark.parametrize("make", [tensor_pca, single_index])
ORDERS = pytest.mark.parametrize("order", [1, 2, 3, 4])


@MODELS
@ORDERS
def test_field_is_the_first_order_mean_over_the_sphere(make, order):
    model = make(3, [5, 9], order, runs=2, dtype=torch.float64)
    points, weights = sphere_rule()
    if order % 2:
        statistic = points
        exact = -torch.einsum("q,qa,qrm->rma", weights, statistic, energies(model, points))
    else:
        statistic = points[:, :, None] * points[:, None] - torch.eye(3, dtype=torch.float64) / 3
        exact = -torch.einsum("q,qab,qrm->rmab", weights, statistic, energies(model, points))
    torch.testing.assert_close(model.field(), exact, rtol=1e-12, atol=1e-13)


@MODELS
@ORDERS
def test_force_is_minus_the_gradient(make, order):
    model = make(5, [7, 20], order, runs=3, dtype=torch.float64)
    theta = uniform_points(1, range(3), 2, 5, torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(model.energy(theta).sum(), theta)
    torch.testing.assert_close(model.force(theta), -gradient, rtol=1e-11, atol=1e-12)


@ORDERS
def test_a_tensor_energy_is_the_dense_contraction(order):
    model = tensor_pca(4, [6], order, runs=2, dtype=torch.float64)
    theta = uniform_points(1, range(2), 1, 4, torch.float64)
    for run in range(2):
        v, point = model.direction[run], theta[run, 0]
        spike, power = v, point
        for _ in range(order - 1):
            spike, power = spike[..., None] * v, power[..., None] * point
        tensor = 6**0.5 * spike + model.noise[run]
        assert model.energy(theta)[run, 0] == pytest.approx(-float((tensor * power).sum()), rel=1e-12)


def test_a_tensor_that_is_not_symmetric_enters_with_all_three_partial_traces():
    tensor = torch.randn(1, 5, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    trace = torch.einsum("rijj->ri", symmetric_part(tensor))
    three = sum(torch.einsum(f"r{indices}->ri", tensor) for indices in ("ijj", "jij", "jji"))
    torch.testing.assert_close(3 * trace, three)
    for places in itertools.permutations((1, 2, 3)):
        torch.testing.assert_close(symmetric_part(tensor.permute(0, *places)), symmetric_part(tensor))


def test_the_noise_of_a_tensor_has_unit_variance_and_this_field():
    model = tensor_pca(6, [1], 3, runs=4000, seed=2, dtype=torch.float64)
    noise = model.noise
    point = normalise(torch.arange(1.0, 7, dtype=torch.float64))
    values = torch.einsum("rabc,a,b,c->r", noise, point, point, point)
    assert values.var() == pytest.approx(1, abs=5 * (2 / 4000) ** 0.5)
    trace = 3 / (6 * 8) * torch.einsum("rijj->ri", noise)
    squares = trace.square().sum(-1)
    assert squares.mean() == pytest.approx(field_square(3, 6), abs=5 * float(squares.std()) / 4000**0.5)


def test_labels_have_the_information_exponent():
    """Lower moments of label and projection vanish; that of order k is one."""
    model = single_index(4, [100_000], 3, runs=1, noise=0.5, dtype=torch.float64)
    x, y = model.inputs[0], model.labels[0]
    t = x @ model.direction[0]
    assert y.var() == pytest.approx(1.25, abs=0.1)
    for polynomial, expected in ((t, 0), ((t**2 - 1) / 2**0.5, 0), ((t**3 - 3 * t) / 6**0.5, 1)):
        products = y * polynomial
        assert products.mean() == pytest.approx(expected, abs=5 * float(products.std()) / 100_000**0.5)


@MODELS
def test_an_instance_depends_on_its_number_only(make):
    alone = make(6, [10, 40], 3, runs=range(7, 8), seed=5)
    among = make(6, [10, 40], 3, runs=range(5, 9), seed=5)
    assert torch.equal(alone.direction[0], among.direction[2])
    theta = uniform_points(0, range(1), 2, 6, torch.float32)
    torch.testing.assert_close(alone.force(theta)[0], among.force(theta.expand(4, 2, 6))[2])


def test_smaller_sizes_are_the_first_samples():
    small, large = single_index(4, [10], runs=1), single_index(4, [10, 40], runs=1)
    assert torch.equal(small.inputs, large.inputs[:, :10])
    assert torch.equal(small.labels, large.labels[:, :10])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"dim": 2}, ValueError, "dim=2"),
        ({"order": 5}, ValueError, "order=5"),
        ({"sizes": []}, ValueError, "sizes is empty"),
        ({"sizes": [0]}, ValueError, "size=0"),
        ({"runs": 0}, ValueError, "runs=0"),
        ({"runs": range(0)}, ValueError, "is empty"),
        ({"runs": range(-2, 0)}, ValueError, "runs=-2"),
        ({"sizes": 5}, TypeError, "not a sequence"),
        ({"dim": 4.0}, TypeError, "not a whole number"),
    ],
)
@MODELS
def test_refusals(make, values, error, message):
    with pytest.raises(error, match=message):
        make(**{"dim": 4, "sizes": [5], **values})


def test_noise_is_not_negative():
    with pytest.raises(ValueError, match=r"noise=-1"):
        single_index(4, [5], noise=-1)
