"""Each quantity against a slow twin: dense float64 autograd by plain torch code."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.moment import Moment, as_readings
from workbench.stability import quantities as q
from workbench.stability.quantities.gradient_noise_scale import noise_scale

SIZES = (5, 4)


class Twin:
    """A classifier, its loss as a function of the flat parameters, and a moment after a step of Adam."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
        self.inputs, self.targets = torch.randn(9, 3).double(), torch.randint(0, 3, (9,))
        batches = list(zip(self.inputs.split(SIZES), self.targets.split(SIZES), strict=True))
        self.problem = wb.Problem(self.model, nn.CrossEntropyLoss(), batches)
        self.theta = self.problem.parameters_vector()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05, betas=(0.8, 0.95), eps=1e-3)
        self.squares = torch.zeros_like(self.theta)
        for _ in range(3):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(self.inputs), self.targets).backward()
            self.theta = self.problem.parameters_vector()
            gradient = torch.cat([p.grad.flatten() for p in self.model.parameters()])
            self.squares = 0.95 * self.squares + 0.05 * gradient**2
            self.optimizer.step()
        self.update = self.problem.parameters_vector() - self.theta
        nn.utils.vector_to_parameters(self.theta, self.model.parameters())

    def logits(self, theta, chosen=slice(None)):
        w1, b1, w2, b2 = theta.split([12, 4, 12, 3])
        return torch.tanh(self.inputs[chosen] @ w1.view(4, 3).T + b1) @ w2.view(3, 4).T + b2

    def loss(self, theta, chosen=slice(None)):
        return nn.functional.cross_entropy(self.logits(theta, chosen), self.targets[chosen])

    def gradient(self, chosen=slice(None)):
        return torch.autograd.functional.jacobian(lambda t: self.loss(t, chosen), self.theta)

    def hessian(self, chosen=slice(None)):
        return torch.autograd.functional.hessian(lambda t: self.loss(t, chosen), self.theta)

    def measure(self, quantity, step=2):
        quantity.prepare(self.problem, self.optimizer)
        moment = Moment(self.problem, self.optimizer, step, self.update)
        return as_readings(quantity.name, quantity.measure(moment))


@pytest.fixture(scope="module")
def twin():
    return Twin()


LAYERS = {"0": slice(0, 16), "2": slice(16, 31)}


def test_first_derivatives(twin):
    gradient = twin.gradient()
    assert twin.measure(q.Loss())[""].value == pytest.approx(twin.loss(twin.theta).item(), rel=1e-12)
    assert twin.measure(q.GradientNorm())[""].value == pytest.approx(gradient.norm().item(), rel=1e-12)
    assert twin.measure(q.UpdateNorm())[""].value == pytest.approx(twin.update.norm().item(), rel=1e-12)
    for kind, vector in ((q.GradientNorm, gradient), (q.UpdateNorm, twin.update)):
        found = twin.measure(kind(by_layer=True))
        assert {name: reading.value for name, reading in found.items()} == pytest.approx(
            {name: vector[part].norm().item() for name, part in LAYERS.items()}, rel=1e-12
        )


def test_sharpness_lies_within_its_residual_also_when_it_starts_from_the_last(twin):
    expected = torch.linalg.eigvalsh(twin.hessian())[-1].item()
    quantity = q.Sharpness(tol=1e-6)
    for _ in range(2):
        found = twin.measure(quantity)[""]
        assert abs(found.value - expected) <= found.error + 1e-12
        assert found.error <= 1e-6 * expected + 1e-12


def test_sharpness_by_layer_is_that_of_the_diagonal_blocks(twin):
    found = twin.measure(q.Sharpness(by_layer=True, tol=1e-6))
    for name, part in LAYERS.items():
        expected = torch.linalg.eigvalsh(twin.hessian()[part, part])[-1].item()
        assert found[name].value == pytest.approx(expected, rel=1e-9)


def test_trace_and_frobenius_norm_are_exact_with_all_products_and_estimates_with_few(twin):
    hessian = twin.hessian()
    exact = {"trace": hessian.trace().item(), "norm": hessian.norm().item()}
    assert twin.measure(q.HessianTrace(31))[""] == pytest.approx((exact["trace"], 0.0), rel=1e-9)
    assert twin.measure(q.FrobeniusNorm(31))[""] == pytest.approx((exact["norm"], 0.0), rel=1e-9)
    found = [twin.measure(q.HessianTrace(8), step=step)[""] for step in range(100)]
    z = [(reading.value - exact["trace"]) / reading.error for reading in found]
    assert abs(np.mean(z)) < 0.5
    assert 0.6 < np.std(z) < 2


def test_gradient_curvature(twin):
    g = twin.gradient()
    expected = (g @ twin.hessian() @ g / (g @ g)).item()
    assert twin.measure(q.GradientCurvature())[""].value == pytest.approx(expected, rel=1e-12)


def test_preconditioned_sharpness_is_the_top_of_the_rescaled_matrix(twin):
    scale = (1 - 0.8**3) * ((twin.squares / (1 - 0.95**3)).sqrt() + 1e-3)
    dense = torch.linalg.eigvals(twin.hessian() / scale[:, None]).real.max().item()
    assert twin.measure(q.PreconditionedSharpness(tol=1e-6))[""].value == pytest.approx(dense, rel=1e-8)


def test_adams_steps_on_a_quadratic_grow_just_above_the_threshold(twin):
    """So near to the minimum that the preconditioner is epsilon, as good as frozen."""
    optimizer = torch.optim.Adam(twin.model.parameters(), lr=0.1)
    held = q.StabilityThreshold().measure(Moment(twin.problem, optimizer, 0, twin.update))
    curvature, start = 7.0, 1e-30

    def end(preconditioned):
        parameter = nn.Parameter(torch.tensor([start], dtype=torch.float64))
        adam = torch.optim.Adam([parameter], lr=0.1, eps=curvature / preconditioned)
        for _ in range(2000):
            parameter.grad = curvature * parameter.detach()
            adam.step()
        return abs(parameter.item())

    assert held == pytest.approx(380)
    assert end(0.98 * held) < 1e-3 * start
    assert end(1.02 * held) > 1e3 * start


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [({}, 20), ({"momentum": 0.9}, 38), ({"momentum": 0.9, "nesterov": True}, 38 / 2.8),
     ({"momentum": 0.9, "dampening": 0.5}, 76)],
)  # fmt: skip
def test_threshold_is_where_steps_on_a_quadratic_begin_to_grow(twin, keywords, expected):
    def end(curvature):
        parameter = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = torch.optim.SGD([parameter], lr=0.1, **keywords)
        for _ in range(3000):
            parameter.grad = curvature * parameter.detach()
            optimizer.step()
        return abs(parameter.item())

    optimizer = torch.optim.SGD(twin.model.parameters(), lr=0.1, **keywords)
    found = q.StabilityThreshold().measure(Moment(twin.problem, optimizer, 0, twin.update))
    assert found == pytest.approx(expected)
    assert end(0.99 * found) < 1e-3
    assert not end(1.01 * found) < 1e3


def test_batch_sharpness_with_all_but_one_example_is_near_its_mean_over_all_batches(twin):
    """Batches of 8 of 9: there are nine, all of which many draws meet."""
    pairs = []
    for left in range(9):
        chosen = [i for i in range(9) if i != left]
        g = twin.gradient(chosen)
        pairs.append(((g @ twin.hessian(chosen) @ g).item(), (g @ g).item()))
    bent, squares = np.array(pairs).T
    found = twin.measure(q.BatchSharpness(8, 1600))
    for part, expected in (("", bent.mean() / squares.mean()), ("mean of ratios", (bent / squares).mean())):
        assert abs(found[part].value - expected) < 4 * found[part].error
        assert found[part].error < 0.02 * abs(expected)


def test_noise_and_signal_are_unbiased_over_all_batches(twin):
    whole = twin.gradient()
    each = torch.stack([twin.gradient([i]) for i in range(9)])
    covariance = (each - whole).square().sum().item() / 8
    batches = itertools.combinations(range(9), 2)
    distances = [(each[list(chosen)].mean(0) - whole).square().sum().item() for chosen in batches]
    square = whole.square().sum().item()
    found = noise_scale(np.array(distances), square, 2, 9)
    assert found["noise"].value == pytest.approx(covariance, rel=1e-9)
    assert found["signal"].value == pytest.approx(square - covariance / 9, rel=1e-9)
    drawn = twin.measure(q.GradientNoiseScale(2, 400))
    assert abs(drawn["noise"].value - covariance) < 4 * drawn["noise"].error
    assert noise_scale(np.array([5.0, 5.0]), 0.1, 2, 9)[""].value == math.inf


def test_taylor_radius_along_the_update(twin):
    unit = twin.update / twin.update.norm()
    jacobian = torch.autograd.functional.jacobian(twin.logits, twin.theta)
    slopes = jacobian @ unit
    spread = math.pi / (slopes.amax(1) - slopes.amin(1)).max().item()
    found = twin.measure(q.TaylorRadiusAhead())
    assert found["spread"].value == pytest.approx(spread, rel=1e-12)
    assert found["r, spread"].value == pytest.approx(twin.update.norm().item() / spread, rel=1e-12)
    with torch.no_grad():
        majority = wb.stability.logit_radius(twin.logits(twin.theta), slopes).minimum
    assert found[""].value == pytest.approx(majority, rel=1e-12)
    assert found[""].value >= found["spread"].value
    still = Moment(twin.problem, twin.optimizer, 0, torch.zeros_like(twin.update))
    assert q.TaylorRadiusAhead().measure(still)["r"] == 0


@pytest.mark.parametrize(
    ("quantity", "message"),
    [(q.PreconditionedSharpness(), "neither Adam nor AdamW"),
     (q.BatchSharpness(9), "batch_sharpness: size=9"),
     (q.GradientNoiseScale(2, 1), "gradient_noise_scale: batches=1")],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused_before_the_run(twin, quantity, message):
    with pytest.raises(ValueError, match=message):
        quantity.prepare(twin.problem, torch.optim.SGD(twin.model.parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("name", "cost"), [("batch_sharpness", 3 * 20 * 8 / 9), ("gradient_noise_scale", 1 + 20 * 8 / 9)]
)
def test_minibatches_by_name_are_no_larger_than_the_data_allow(twin, name, cost):
    quantity = q.built_in(name)
    assert not np.isnan(twin.measure(quantity)[""].value)
    assert quantity.cost == pytest.approx(cost)
    alone = wb.Problem(twin.model, nn.CrossEntropyLoss(), (twin.inputs[:1], twin.targets[:1]))
    with pytest.raises(ValueError, match=f"{name} takes minibatches"):
        quantity.prepare(alone, twin.optimizer)


def test_a_controllers_threshold_and_preconditioner_are_those_of_what_it_wraps(twin):
    controller = wb.stability.TaylorController(twin.optimizer, twin.problem)
    for quantity in (q.StabilityThreshold(), q.PreconditionedSharpness()):
        quantity.prepare(twin.problem, controller)
        moment = Moment(twin.problem, controller, 2, twin.update)
        assert as_readings("", quantity.measure(moment)) == twin.measure(quantity)
    fixed = wb.stability.TaylorController(twin.optimizer, twin.problem, form="ratio")
    with pytest.raises(ValueError, match="not known of a controller with form='ratio'"):
        q.StabilityThreshold().prepare(twin.problem, fixed)


def test_minibatches_of_a_loss_that_adds_up_are_refused(twin):
    summed = wb.Problem(twin.model, nn.CrossEntropyLoss(reduction="sum"), (twin.inputs, twin.targets))
    with pytest.raises(ValueError, match="adds up over the data"):
        q.GradientNoiseScale(2).prepare(summed, twin.optimizer)


def test_a_name_that_is_not_known_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'sharpness'"):
        q.built_in("sharpnes")
    assert all(q.built_in(name).name == name for name in q.BUILT_IN)
