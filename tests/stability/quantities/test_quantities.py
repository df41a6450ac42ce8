"""Each quantity against a slow twin: dense float64 autograd by plain torch code."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.moment import Moment, as_readings
from workbench.noise_scales import noise_scale
from workbench.progress import listening
from workbench.stability import quantities as q
from workbench.stability.quantities.curvature_of import loss_hessian
from workbench.stability.scales import Radii

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

    def preconditioner(self):
        return (1 - 0.8**3) * ((self.squares / (1 - 0.95**3)).sqrt() + 1e-3)

    def measure(self, quantity, step=2):
        quantity.prepare(self.problem, self.optimizer)
        moment = Moment(self.problem, self.optimizer, step, self.update)
        return as_readings(quantity.name, quantity.measure(moment))


@pytest.fixture(scope="module")
def twin():
    return Twin()


LAYERS = {"0": slice(0, 16), "2": slice(16, 31)}


def sampled(twin, quantity, count):
    """Measurements at as many steps, of the dense Hessian, whose products take no time."""
    dense = twin.hessian()
    found = []
    for step in range(count):
        moment = Moment(twin.problem, twin.optimizer, step, twin.update)
        moment.shared = lambda _: dense
        found.append(as_readings("", quantity.measure(moment)))
    return found


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
    found = [reading[""] for reading in sampled(twin, q.HessianTrace(8), 100)]
    z = [(reading.value - exact["trace"]) / reading.error for reading in found]
    assert abs(np.mean(z)) < 0.5
    assert 0.6 < np.std(z) < 2


def test_gradient_curvature(twin):
    g = twin.gradient()
    expected = (g @ twin.hessian() @ g / (g @ g)).item()
    assert twin.measure(q.GradientCurvature())[""].value == pytest.approx(expected, rel=1e-12)


def test_preconditioned_sharpness_is_the_top_of_the_rescaled_matrix(twin):
    dense = torch.linalg.eigvals(twin.hessian() / twin.preconditioner()[:, None]).real.max().item()
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
    assert q.TaylorRadiusAhead().measure(still)["r"].value == 0


def block(twin, layer, chosen=slice(None)):
    """The layer's block of the dense Hessian, and its part of the gradient."""
    part = LAYERS[layer]
    return twin.hessian(chosen)[part, part], twin.gradient(chosen)[part]


def test_norms_and_curvatures_by_layer_are_those_of_dense_blocks(twin):
    found = twin.measure(q.FrobeniusNorm(16, by_layer=True)), twin.measure(q.GradientCurvature(by_layer=True))
    scale = twin.preconditioner()
    tops = twin.measure(q.PreconditionedSharpness(by_layer=True, tol=1e-6))
    assert all(list(each) == list(LAYERS) for each in (*found, tops))
    for name, part in LAYERS.items():
        hessian, g = block(twin, name)
        assert found[0][name] == pytest.approx((hessian.norm().item(), 0.0), rel=1e-9)
        assert found[1][name].value == pytest.approx((g @ hessian @ g / (g @ g)).item(), rel=1e-12)
        top = torch.linalg.eigvals(hessian / scale[part, None]).real.max().item()
        assert tops[name].value == pytest.approx(top, rel=1e-8)


@pytest.mark.parametrize("name", list(LAYERS))
def test_traces_by_layer_are_unbiased_with_the_variance_of_the_docstring(twin, name):
    """2 Σ H_ij² within the block, and once what stands beside it in its rows."""
    (hessian, _), rows = block(twin, name), twin.hessian()[LAYERS[name]]
    inside = 2 * (hessian.square().sum() - hessian.diagonal().square().sum())
    beside = rows.square().sum() - hessian.square().sum()
    found = [reading[name] for reading in sampled(twin, q.HessianTrace(8, by_layer=True), 1000)]
    values = np.array([reading.value for reading in found])
    expected, variance = hessian.trace().item(), (inside + beside).item() / 8
    assert abs(values.mean() - expected) < 4 * math.sqrt(variance / 1000)
    assert values.var(ddof=1) == pytest.approx(variance, rel=0.2)
    assert np.mean([reading.error**2 for reading in found]) == pytest.approx(variance, rel=0.1)


def test_traces_by_layer_share_the_products_of_the_whole(twin):
    moment = Moment(twin.problem, twin.optimizer, 0, twin.update)
    operator = moment.shared(loss_hessian)
    found = q.HessianTrace(6, by_layer=True).measure(moment)
    assert operator.matvecs == 6
    (dense,) = sampled(twin, q.HessianTrace(6, by_layer=True), 1)
    for name in LAYERS:
        assert found[name] == pytest.approx(dense[name], rel=1e-9)


def test_batch_sharpness_by_layer_is_near_its_mean_over_all_batches(twin):
    found = twin.measure(q.BatchSharpness(8, 1600, by_layer=True))
    for name in LAYERS:
        pairs = []
        for left in range(9):
            hessian, g = block(twin, name, [i for i in range(9) if i != left])
            pairs.append(((g @ hessian @ g).item(), (g @ g).item()))
        bent, squares = np.array(pairs).T
        expected = {name: bent.mean() / squares.mean(), f"{name}, mean of ratios": (bent / squares).mean()}
        for part, value in expected.items():
            assert abs(found[part].value - value) < 4 * found[part].error
            assert found[part].error < 0.02 * abs(value)


def test_noise_scales_by_layer_are_of_the_same_batches_and_add_up(twin):
    whole = twin.measure(q.GradientNoiseScale(2, 50))
    found = twin.measure(q.GradientNoiseScale(2, 50, by_layer=True))
    for part in ("noise", "signal"):
        total = sum(found[f"{name}, {part}"].value for name in LAYERS)
        assert total == pytest.approx(whole[part].value, rel=1e-9)
    for name in LAYERS:
        noise, signal = (found[f"{name}, {part}"].value for part in ("noise", "signal"))
        assert found[name].value == (pytest.approx(noise / signal) if signal > 0 else math.inf)
    each = torch.stack([twin.gradient([i]) for i in range(9)])
    many = twin.measure(q.GradientNoiseScale(2, 400, by_layer=True))
    for name, part in LAYERS.items():
        covariance = (each - twin.gradient())[:, part].square().sum().item() / 8
        assert abs(many[f"{name}, noise"].value - covariance) < 4 * many[f"{name}, noise"].error


def test_taylor_radii_by_layer_are_along_each_layers_part_of_the_update_alone(twin):
    found = twin.measure(q.TaylorRadiusAhead(by_layer=True))
    jacobian = torch.autograd.functional.jacobian(twin.logits, twin.theta)
    for name, part in LAYERS.items():
        length = twin.update[part].norm()
        slopes = jacobian[..., part] @ (twin.update[part] / length)
        spread = math.pi / (slopes.amax(1) - slopes.amin(1)).max().item()
        majority = wb.stability.logit_radius(twin.logits(twin.theta).detach(), slopes).minimum
        assert found[f"{name}, spread"].value == pytest.approx(spread, rel=1e-12)
        assert found[name].value == pytest.approx(majority, rel=1e-12)
        assert found[f"{name}, r"].value == pytest.approx(length.item() / majority, rel=1e-12)
    whole = twin.measure(q.TaylorRadiusAhead())["r, spread"].value
    assert sum(found[f"{name}, r, spread"].value for name in LAYERS) >= whole


def test_the_exact_radius_is_a_zero_of_the_partition_function_above_the_bounds(twin):
    """No smaller modulus on a fine grid of the complex plane has a zero of any example's sum."""
    found = twin.measure(q.ExactRadiusAhead())
    unit = twin.update / twin.update.norm()
    slopes = torch.autograd.functional.jacobian(twin.logits, twin.theta) @ unit
    logits = twin.logits(twin.theta).detach()
    radius = found[""].value
    assert found["certified"].value == 1
    assert found[""].error == 0
    assert found["r"].value == pytest.approx(twin.update.norm().item() / radius, rel=1e-12)
    assert radius >= twin.measure(q.TaylorRadiusAhead())[""].value
    assert smallest_partition(logits, slopes, [radius]) < 1e-3
    assert smallest_partition(logits, slopes, np.linspace(0, 0.98 * radius, 50)) > 1e-2


def smallest_partition(logits, slopes, radii):
    """Least |Σ e^(z + ta)| over Σ |e^(z + ta)|, of any example at any t on circles of these radii."""
    angle = torch.linspace(0, math.pi, 20001, dtype=torch.float64)
    least = math.inf
    for radius in radii:
        t = torch.polar(torch.tensor(float(radius), dtype=torch.float64), angle)
        terms = torch.exp(logits[:, None].to(t.dtype) + t[None, :, None] * slopes[:, None])
        least = min(least, (terms.sum(-1).abs() / terms.abs().sum(-1)).min().item())
    return least


def test_an_exact_radius_that_is_not_certified_says_so(twin, monkeypatch):
    radii = Radii(1.0, 2.0, 2.0, False)
    monkeypatch.setattr("workbench.stability.quantities.exact_radius.radii_along", lambda *_: radii)
    found = twin.measure(q.ExactRadiusAhead())
    assert found["certified"].value == 0
    assert math.isnan(found[""].error)
    assert found[""].value == 2


def test_layer_radii_are_those_of_the_function_along_the_update(twin):
    found = twin.measure(q.LayerRadiiAhead())
    hidden = twin.inputs @ twin.model[0].weight.T + twin.model[0].bias
    w, b, *_ = (twin.update / twin.update.norm()).split([12, 4, 15])
    change = twin.inputs @ w.view(4, 3).T + b
    tanh = ((hidden.square() + math.pi**2 / 4).sqrt() / change.abs()).min().item()
    assert found["1 (tanh)"].value == pytest.approx(tanh, rel=1e-9)
    assert found["output (softmax)"].value == pytest.approx(
        twin.measure(q.TaylorRadiusAhead())["spread"].value, rel=1e-9
    )
    least = min(reading.value for name, reading in found.items() if "(" in name)
    assert found[""].value == least
    assert found["r"].value == pytest.approx(twin.update.norm().item() / least)


@pytest.mark.parametrize("kind", [q.ExactRadiusAhead, q.LayerRadiiAhead])
def test_a_step_that_went_nowhere_has_no_radius(twin, kind):
    still = Moment(twin.problem, twin.optimizer, 0, torch.zeros_like(twin.update))
    found = as_readings("", kind().measure(still))
    assert (found[""].value, found["r"].value) == (math.inf, 0)


def test_costs_by_layer_are_known_before_the_run(twin):
    costs = q.catalogue(twin.problem, twin.optimizer).set_index("name")["gradients"]
    for name in ("gradient_norm", "update_norm", "hessian_trace", "gradient_noise_scale"):
        assert costs[f"{name}_by_layer"] == costs[name]
    for name in ("sharpness", "preconditioned_sharpness", "frobenius_norm", "taylor_radius"):
        assert costs[f"{name}_by_layer"] == 2 * costs[name]
    assert costs["gradient_curvature_by_layer"] == 1 + 2 * 2
    assert costs["batch_sharpness_by_layer"] == pytest.approx(costs["batch_sharpness"] * 5 / 3)
    assert costs["exact_radius"] > 1


def test_the_catalogue_lists_each_name_and_why_one_is_refused(twin):
    table = q.catalogue(twin.problem, torch.optim.SGD(twin.model.parameters(), lr=0.1)).set_index("name")
    assert list(table.index) == list(q.BUILT_IN)
    refused = table[table["refused"] != ""]
    assert list(refused.index) == ["preconditioned_sharpness", "preconditioned_sharpness_by_layer"]
    assert refused["gradients"].isna().all()
    assert table.loc["sharpness_by_layer", "what"].endswith(", of each layer")
    assert not table["what"].str.contains(":math:|\n").any()


def test_the_catalogue_leaves_a_model_in_training_as_it_is(twin):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).double()
    problem = wb.Problem(model.eval(), nn.CrossEntropyLoss(), (twin.inputs, twin.targets))
    model.train()
    before, state = torch.get_rng_state(), {name: t.clone() for name, t in model.state_dict().items()}
    table = q.catalogue(problem, torch.optim.Adam(model.parameters()))
    assert (table["refused"] == "").all()
    assert all(module.training for module in model.modules())
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())
    assert torch.get_rng_state().equal(before)


def test_a_layer_that_the_loss_does_not_see_is_flat(twin):
    model = nn.ModuleDict({"used": nn.Linear(3, 3), "unused": nn.Linear(3, 3)}).double()
    problem = wb.Problem(
        model,
        nn.CrossEntropyLoss(),
        (twin.inputs, twin.targets),
        forward=lambda model, batch: model["used"](batch[0]),
    )
    update = torch.ones(problem.num_parameters, dtype=torch.float64)
    moment = Moment(problem, torch.optim.SGD(model.parameters(), lr=0.1), 0, update)
    for quantity in (q.BatchSharpness(4, 3, by_layer=True), q.GradientCurvature(by_layer=True)):
        quantity.prepare(problem, moment.optimizer)
        found = as_readings(quantity.name, quantity.measure(moment))
        assert math.isnan(found["unused"].value)
        assert found["used"].value > 0


@pytest.mark.parametrize(
    "quantity", [q.Sharpness(), q.HessianTrace(), q.FrobeniusNorm(by_layer=True), q.LayerRadiiAhead()]
)
def test_an_interrupt_while_measuring_ends_the_training(twin, quantity):
    """As Ctrl-C in the middle of a search, where functions return what they have."""

    def stop(description, done, total):
        if done:
            raise KeyboardInterrupt

    with listening(stop), pytest.raises(KeyboardInterrupt):
        twin.measure(quantity)


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
