"""The controller against radii computed by other means, and as an optimizer among torch's tools."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from custom_functions import Square
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import LBFGS, SGD, Adam, AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import OneCycleLR, StepLR

import workbench as wb
from workbench.stability import ControlTrace, TaylorController, logit_radius, update_vector
from workbench.training import train

LOSS = nn.CrossEntropyLoss()
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "SGD": lambda p: SGD(p, lr=50.0),
    "momentum": lambda p: SGD(p, lr=20.0, momentum=0.9),
    "Adam": lambda p: Adam(p, lr=3.0),
    "AdamW": lambda p: AdamW(p, lr=3.0, weight_decay=0.1),
    "Muon": lambda p: Muon([each for each in p if each.dim() == 2], lr=3.0),
}


def make(seed: int = 0, *extra: nn.Module) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network and a batch, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 6), *extra, nn.Tanh(), nn.Linear(6, 5)).double()
        return model, torch.randn(9, 4, dtype=torch.float64), torch.randint(0, 5, (9,))


def flat(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def backward(model: nn.Module, inputs: Tensor, targets: Tensor, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    LOSS(model(inputs), targets).backward()


def radius_by_two_backwards(
    model: nn.Module, inputs: Tensor, theta: Tensor, update: Tensor, kind: str
) -> float:
    """Radius along an update at theta: slopes by autograd's double backward, the spread written out here."""
    model = copy.deepcopy(model).eval()
    named = dict(model.named_parameters())

    def logits(vector: Tensor) -> Tensor:
        parts = vector.split([p.numel() for p in named.values()])
        state = {name: part.view(p.shape) for (name, p), part in zip(named.items(), parts, strict=True)}
        return functional_call(model, state, (inputs,))

    z, slopes = torch.autograd.functional.jvp(logits, theta, update / update.norm())
    if kind == "spread":
        return math.pi / float((slopes.amax(1) - slopes.amin(1)).max())
    return float(logit_radius(z, slopes, kind).radius.min())


@pytest.mark.parametrize("kind", ["spread", "majority", "exact"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_step_is_longer_than_the_radius(name: str, kind: str) -> None:
    model, inputs, targets = make()
    controller = TaylorController(OPTIMIZERS[name](list(model.parameters())), model, r=0.7, kind=kind)
    for _ in range(5):
        before = flat(model)
        backward(model, inputs, targets, controller)
        controller.step()
        update = flat(model) - before
        radius = radius_by_two_backwards(model, inputs, before, update, kind)
        assert update.norm() <= 0.7 * radius * (1 + 1e-6)
        control = controller.trace()
        assert control.radius[-1] == pytest.approx(radius, rel=1e-6)
        assert control.taken[-1] == pytest.approx(update.norm().item(), rel=1e-9)
        assert (control.scale[-1] < 1) == (control.proposed[-1] > 0.7 * control.radius[-1])
    assert (controller.trace().scale < 1).sum() >= 3  # the test would see a cap that does not act


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_is_that_of_the_whole_step(name: str) -> None:
    """A plain optimizer that gets the same gradients has the same state, although its steps are longer."""
    model, inputs, targets = make()
    other = copy.deepcopy(model)
    controller = TaylorController(OPTIMIZERS[name](list(model.parameters())), model, r=0.1)
    plain = OPTIMIZERS[name](list(other.parameters()))
    for _ in range(3):
        backward(model, inputs, targets, controller)
        for parameter, twin in zip(model.parameters(), other.parameters(), strict=True):
            assert parameter.grad is not None
            twin.grad = parameter.grad.clone()
        start = [parameter.detach().clone() for parameter in model.parameters()]
        with torch.no_grad():
            for twin, value in zip(other.parameters(), start, strict=True):
                twin.copy_(value)
        controller.step()
        plain.step()
        whole, taken = flat(other) - torch.cat([s.flatten() for s in start]), controller.trace()
        assert taken.proposed[-1] == pytest.approx(whole.norm().item(), rel=1e-12)
        for left, right in zip(controller.state.values(), plain.state.values(), strict=True):
            for key, value in right.items():
                assert torch.equal(left[key], value) if isinstance(value, Tensor) else left[key] == value


def test_steps_within_the_radius_are_those_of_the_optimizer_bit_by_bit() -> None:
    model, inputs, targets = make()
    other = copy.deepcopy(model)
    controller, plain = TaylorController(Adam(model.parameters()), model), Adam(other.parameters())
    for _ in range(4):
        backward(model, inputs, targets, controller)
        controller.step()
        backward(other, inputs, targets, plain)
        plain.step()
        assert torch.equal(flat(model), flat(other))
    assert (controller.trace().scale == 1).all()


def test_the_ratio_form_does_not_depend_on_the_learning_rate() -> None:
    ends = []
    for rate in (1e-5, 0.1, 100.0):
        model, inputs, targets = make()
        controller = TaylorController(SGD(model.parameters(), lr=rate), model, r=0.3, form="ratio")
        for _ in range(3):
            backward(model, inputs, targets, controller)
            controller.step()
        np.testing.assert_allclose(controller.trace().frame()["ratio"], 0.3)
        ends.append(flat(model))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(ends[0], ends[2], rtol=1e-8, atol=1e-10)


# ---- among torch's tools ---------------------------------------------------------------------------------


def test_schedulers_act_on_the_shared_groups(recwarn: pytest.WarningsRecorder) -> None:
    model, inputs, targets = make()
    controller = TaylorController(SGD(model.parameters(), lr=0.4), model)
    assert isinstance(controller, Optimizer)
    scheduler = StepLR(controller, step_size=2, gamma=0.5)
    rates = []
    for _ in range(4):
        backward(model, inputs, targets, controller)
        rates.append(controller.optimizer.param_groups[0]["lr"])
        controller.step()
        scheduler.step()
    assert rates == [0.4, 0.4, 0.2, 0.2]
    assert not [warning for warning in recwarn if "lr_scheduler" in str(warning.message)]
    OneCycleLR(TaylorController(Adam(model.parameters()), model), max_lr=0.1, total_steps=5)


def test_the_training_loop_of_the_package_takes_it() -> None:
    model, inputs, targets = make()
    controller = TaylorController(Adam(model.parameters(), lr=0.5), model)
    scheduler = OneCycleLR(controller, max_lr=0.5, total_steps=30)
    history = train(model, LOSS, [(inputs, targets)], controller, epochs=30, scheduler=scheduler)
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert len(controller.trace().step) == 30


@pytest.mark.parametrize("every", [1, 3])
def test_a_resumed_training_gives_the_same_numbers(every: int) -> None:
    def steps(model: nn.Module, controller: TaylorController, count: int) -> None:
        for _ in range(count):
            backward(model, inputs, targets, controller)
            controller.step()

    model, inputs, targets = make()
    controller = TaylorController(Adam(model.parameters(), lr=1.0), model, every=every)
    steps(model, controller, 4)
    saved, weights = copy.deepcopy(controller.state_dict()), copy.deepcopy(model.state_dict())
    steps(model, controller, 4)
    again, *_ = make(seed=1)
    again.load_state_dict(weights)
    resumed = TaylorController(Adam(again.parameters()), again, every=every)
    resumed.load_state_dict(saved)
    steps(again, resumed, 4)
    assert torch.equal(flat(again), flat(model))
    assert resumed.trace().frame().equals(controller.trace().frame()[4:].reset_index(drop=True))


def test_checkpoints_of_controller_and_optimizer_fit_each_other() -> None:
    model, inputs, targets = make()
    controller = TaylorController(Adam(model.parameters(), lr=0.25), model)
    backward(model, inputs, targets, controller)
    controller.step()
    plain = Adam(model.parameters())
    plain.load_state_dict(controller.state_dict())
    assert plain.param_groups[0]["lr"] == 0.25
    controller.load_state_dict(plain.state_dict())
    assert (controller.steps, controller.param_groups) == (0, controller.optimizer.param_groups)
    backward(model, inputs, targets, controller)
    controller.step()
    assert controller.trace().measured.tolist() == [True]


def test_groups_can_be_added() -> None:
    model, inputs, targets = make()
    controller = TaylorController(SGD(model[2].parameters(), lr=0.1), model)
    controller.add_param_group({"params": list(model[0].parameters()), "lr": 0.5})
    before = flat(model)
    backward(model, inputs, targets, controller)
    controller.step()
    assert (flat(model) != before).all()
    assert [group["lr"] for group in controller.param_groups] == [0.1, 0.5]


def test_hooks_of_a_step_run() -> None:
    model, inputs, targets = make()
    controller = TaylorController(SGD(model.parameters(), lr=0.1), model)
    calls = []
    controller.register_step_post_hook(lambda *_: calls.append("controller"))
    controller.optimizer.register_step_post_hook(lambda *_: calls.append("optimizer"))
    backward(model, inputs, targets, controller)
    controller.step()
    assert calls == ["optimizer", "controller"]


@pytest.mark.parametrize("fused", [False, True])
def test_grad_scaler_unscales_before_the_step_and_skips_overflows(fused: bool) -> None:
    model, inputs, targets = make()
    model, inputs = model.float(), inputs.float()
    other = copy.deepcopy(model)
    controller = TaylorController(Adam(model.parameters(), lr=0.5, fused=fused), model)
    plain = TaylorController(Adam(other.parameters(), lr=0.5, fused=fused), other)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(3):
        controller.zero_grad()
        scaler.scale(LOSS(model(inputs), targets)).backward()
        scaler.step(controller)
        scaler.update()
        backward(other, inputs, targets, plain)
        plain.step()
    torch.testing.assert_close(flat(model), flat(other), rtol=1e-5, atol=1e-6)
    before = flat(model)
    scaler.scale(LOSS(model(inputs), targets) * torch.inf).backward()
    scaler.step(controller)
    assert torch.equal(flat(model), before)
    assert len(controller.trace().step) == 3


def test_closures_and_lbfgs() -> None:
    model, inputs, targets = make()
    controller = TaylorController(LBFGS(model.parameters(), lr=5.0, max_iter=5), model, r=0.5)

    def closure() -> Tensor:
        backward(model, inputs, targets, controller)
        return LOSS(model(inputs), targets)

    for _ in range(3):
        before, expected = flat(model), LOSS(model(inputs), targets).item()
        assert controller.step(closure).item() == pytest.approx(expected)
        update = flat(model) - before
        radius = radius_by_two_backwards(model, inputs, before, update, "majority")
        assert update.norm() <= 0.5 * radius * (1 + 1e-6)
    assert (controller.trace().scale < 1).any()


def test_what_a_controller_would_do_can_be_asked() -> None:
    model, inputs, targets = make()
    problem = wb.Problem(model, LOSS, (inputs, targets))
    controller = TaylorController(Adam(model.parameters(), lr=2.0), problem)
    for _ in range(3):
        expected, before, trace = update_vector(problem, controller), flat(model), controller.trace()
        assert len(trace.step) == controller.steps == len(controller.trace().step)
        backward(model, inputs, targets, controller)
        controller.step()
        torch.testing.assert_close(flat(model) - before, expected, rtol=1e-9, atol=1e-12)
    assert len(controller.trace().step) == 3


# ---- what the radius is measured on ----------------------------------------------------------------------


def test_the_product_sees_running_statistics_and_no_dropout_and_changes_neither() -> None:
    model, inputs, targets = make(0, nn.BatchNorm1d(6).double(), nn.Dropout(0.5))
    controller = TaylorController(SGD(model.parameters(), lr=50.0), model)
    model[3].eval()  # a mode of its own, which has to come back
    modes = [module.training for module in model.modules()]
    for _ in range(3):
        backward(model, inputs, targets, controller)
        before, statistics = flat(model), [buffer.clone() for buffer in model.buffers()]
        frozen = copy.deepcopy(model)
        state = torch.get_rng_state()
        controller.step()
        assert torch.equal(torch.get_rng_state(), state)
        assert all(map(torch.equal, model.buffers(), statistics))
        assert [module.training for module in model.modules()] == modes
        radius = radius_by_two_backwards(frozen, inputs, before, flat(model) - before, "majority")
        assert controller.trace().radius[-1] == pytest.approx(radius, rel=1e-6)


def test_the_last_batch_is_that_of_the_training() -> None:
    """Evaluations without gradients, copies of the model and analyses in between do not count."""
    model, inputs, targets = make()
    other = inputs.flip(0)[:4] * 3
    problem = wb.Problem(model, LOSS, (other, targets[:4]))
    controller = TaylorController(SGD(model.parameters(), lr=50.0), model)
    before = flat(model)
    backward(model, inputs, targets, controller)
    with torch.no_grad():
        model(other)
    problem.gradient()
    problem.restrict("0.*").gradient()
    copy.deepcopy(model)(other)
    controller.step()
    radius = radius_by_two_backwards(model, inputs, before, flat(model) - before, "majority")
    assert controller.trace().radius[-1] == pytest.approx(radius, rel=1e-6)
    assert "the last batch that the model was trained on" in controller.trace().summary()


def test_a_problem_is_measured_on_all_of_its_data() -> None:
    model, inputs, targets = make()
    batches = [(inputs[:5], targets[:5]), (inputs[5:], targets[5:])]
    controller = TaylorController(SGD(model.parameters(), lr=50.0), wb.Problem(model, LOSS, batches))
    model.train()
    before = flat(model)
    backward(model, inputs[:2], targets[:2], controller)
    controller.step()
    radius = radius_by_two_backwards(model, inputs, before, flat(model) - before, "majority")
    assert controller.trace().radius[-1] == pytest.approx(radius, rel=1e-6)
    assert controller.trace().measured_on == "all of problem 'Sequential'"
    assert model.training


def test_a_function_of_the_parameters() -> None:
    """Two classes with logits 0 and w x: the radius is sqrt((w x)^2 + pi^2) / |x|, the least over x."""
    weight = nn.Parameter(torch.tensor([0.3], dtype=torch.float64))
    inputs = torch.tensor([0.5, -2.0], dtype=torch.float64)
    controller = TaylorController(
        SGD([weight], lr=1.0), lambda w: torch.stack([torch.zeros_like(inputs), w * inputs], dim=1), r=0.5
    )
    weight.grad = torch.tensor([100.0], dtype=torch.float64)
    controller.step()
    radius = math.hypot(0.6, math.pi) / 2
    assert controller.trace().radius[0] == pytest.approx(radius, rel=1e-12)
    assert weight.item() == pytest.approx(0.3 - 0.5 * radius, rel=1e-12)


def test_logits_can_be_read_from_the_output() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

        def forward(self, *, tokens: Tensor) -> dict[str, Tensor]:
            return {"logits": self.head(torch.tanh(self.embedding(tokens)))}

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, tokens = Language().double(), torch.randint(0, 7, (3, 5))
    read = lambda output: output["logits"].flatten(0, 1)  # noqa: E731
    controller = TaylorController(SGD(model.parameters(), lr=50.0), model, kind="spread", read=read)
    before = copy.deepcopy(model)
    LOSS(read(model(tokens=tokens)), tokens.flatten()).backward()
    controller.step()
    assert controller.trace().scale[0] < 1
    assert flat(model).sub(flat(before)).norm() == pytest.approx(controller.trace().radius[0], rel=1e-9)
    again = TaylorController(SGD(model.parameters(), lr=50.0), model)
    LOSS(read(model(tokens=tokens)), tokens.flatten()).backward()
    now = flat(model)
    with pytest.raises(
        TypeError, match=r"the model's output is a dict, not a tensor: pass read=, e\.g\. read=l"
    ):
        again.step()
    assert torch.equal(flat(model), now)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (3, 5, 4),
            r"output has shape \(3, 5, 4\), not \(rows, classes\): .* read=lambda output: output.flatten",
        ),
        ((12,), r"output has shape \(12,\), not \(rows, classes\): .* read=lambda output: output.unsqueeze"),
    ],
)
def test_the_dimension_of_the_classes_is_not_guessed(shape: tuple[int, ...], message: str) -> None:
    model = nn.Sequential(nn.Linear(4, 20 if len(shape) > 1 else 4), nn.Unflatten(0, (3,)), nn.Flatten(0))
    model.append(nn.Unflatten(0, shape))
    controller = TaylorController(SGD(model.parameters(), lr=1.0), model)
    model(torch.ones(3, 4)).sum().backward()
    with pytest.raises(ValueError, match=message):
        controller.step()


def one_logit(inputs: Tensor, model: nn.Module) -> dict[str, Any]:
    return {
        "module": model,
        "function": lambda *parameters: F.linear(inputs, *parameters),
        "problem": wb.Problem(model, nn.BCEWithLogitsLoss(), (inputs, torch.ones(9, 1).double())),
    }


@pytest.mark.parametrize("kind", ["spread", "majority", "exact"])
@pytest.mark.parametrize("source", ["module", "function", "problem"])
def test_one_logit_is_that_of_two_classes(source: str, kind: str) -> None:
    """The radius of 1 + exp(z + t a) is sqrt(z^2 + pi^2) / |a|, and pi / |a| is the bound by the spread."""
    _, inputs, _ = make()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Linear(4, 1).double()
    controller = TaylorController(
        SGD(model.parameters(), lr=1e6), one_logit(inputs, model)[source], kind=kind
    )
    before, z = flat(model), model(inputs).detach().flatten()
    F.binary_cross_entropy_with_logits(model(inputs), torch.ones(9, 1).double()).backward()
    controller.step()
    update = flat(model) - before
    slopes = torch.cat([inputs, torch.ones(9, 1).double()], dim=1) @ (update / update.norm())
    radii = (z.square() * (kind != "spread") + math.pi**2).sqrt() / slopes.abs()
    assert update.norm() == pytest.approx(radii.min().item(), rel=1e-9)
    assert controller.trace().radius[0] == pytest.approx(radii.min().item(), rel=1e-9)


def test_attention_has_a_forward_mode_product() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, dropout=0.3, batch_first=True)
        inputs = torch.randn(3, 5, 4)
    controller = TaylorController(SGD(model.parameters(), lr=100.0), model, read=lambda z: z.flatten(0, 1))
    model(inputs).square().sum().backward()
    controller.step()
    assert 0 < controller.trace().scale[0] < 1


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.cells(inputs)[0][:, -1])


class LastSquared(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return Square.apply(super().forward(inputs[:, -1]))


@pytest.mark.parametrize("make_model", [Recurrent, lambda: LastSquared(4, 2)])
def test_what_has_no_forward_mode_is_controlled_through_a_problem(
    make_model: Callable[[], nn.Module],
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, inputs, targets = make_model(), torch.randn(3, 5, 4), torch.tensor([0, 1, 1])
    before = flat(model)
    by_module = TaylorController(SGD(model.parameters(), lr=1e3), model)
    LOSS(model(inputs), targets).backward()
    with pytest.raises(ValueError, match=r"without a forward-mode derivative, .*: pass a Problem in place"):
        by_module.step()
    assert torch.equal(flat(model), before)
    by_problem = TaylorController(SGD(model.parameters(), lr=1e3), wb.Problem(model, LOSS, (inputs, targets)))
    by_problem.step()
    assert 0 < by_problem.trace().scale[0] < 1


@pytest.mark.parametrize(
    ("dtype", "bias"),
    [(torch.float32, 1e4), (torch.float32, 1e5), (torch.bfloat16, 0.0), (torch.bfloat16, 8.0)],
)
@pytest.mark.parametrize("form", ["cap", "ratio"])
def test_low_precision_keeps_the_length(
    dtype: torch.dtype, bias: float, form: Literal["cap", "ratio"]
) -> None:
    """A large bias, the same for all classes, has large rounding and no say in the loss."""
    for seed in range(8):
        model, inputs, targets = make(seed)
        model, inputs = model.to(dtype), inputs.to(dtype)
        with torch.no_grad():
            model[2].bias.add_(bias)
        controller = TaylorController(SGD(model.parameters(), lr=50.0), model, r=0.3, form=form)
        before = flat(model).double()
        backward(model, inputs, targets, controller)
        controller.step()
        trace, length = controller.trace(), (flat(model).double() - before).norm().item()
        assert trace.scale[0] < 1
        assert 0 < length <= 0.3 * trace.radius[0] * (1 + 1e-6)
        assert trace.taken[0] == pytest.approx(length, rel=1e-12, abs=0)


def test_a_step_that_rounding_makes_too_long_is_shortened_until_it_fits() -> None:
    """The radius is pi / 1000, and above 1 bfloat16 goes up by 2^-7, more than twice that."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    logits = lambda w: torch.stack([0 * w, 1000 * (w - 1)], dim=1)  # noqa: E731
    controller = TaylorController(SGD([weight], lr=1.0), logits, r=1.5)
    weight.grad = torch.tensor([-1.0], dtype=torch.bfloat16)
    controller.step()
    trace = controller.trace()
    assert 1.5 * math.pi / 1000 > 2**-8  # so that it is rounded up to 2^-7, which is too long
    assert trace.radius[0] == pytest.approx(math.pi / 1000, rel=1e-2)
    assert (weight.item(), trace.taken[0]) == (1, 0)


def test_every_so_many_steps() -> None:
    model, inputs, targets = make()
    controller = TaylorController(SGD(model.parameters(), lr=50.0), model, every=3)
    for _ in range(7):
        backward(model, inputs, targets, controller)
        controller.step()
    trace = controller.trace()
    assert trace.measured.tolist() == [True, False, False, True, False, False, True]
    assert trace.radius[0] == trace.radius[1] == trace.radius[2] != trace.radius[3]
    assert (trace.taken <= trace.radius * (1 + 1e-12)).all()
    assert "measured 3 times" in trace.summary()


def test_a_hook_does_not_keep_a_dropped_controller() -> None:
    model, *_ = make()
    TaylorController(SGD(model.parameters(), lr=0.1), model)
    assert not model._forward_pre_hooks


# ---- refusals --------------------------------------------------------------------------------------------


def test_an_update_that_is_not_finite_is_refused_and_leaves_the_parameters() -> None:
    model, inputs, targets = make()
    controller = TaylorController(SGD(model.parameters(), lr=0.1), model)
    backward(model, inputs, targets, controller)
    gradient = model[0].weight.grad
    assert gradient is not None
    gradient[0, 0] = torch.nan
    before = flat(model)
    with pytest.raises(ValueError, match="the gradients are not finite at step 1: nothing was changed"):
        controller.step()
    assert torch.equal(flat(model), before)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_after_a_gradient_that_is_not_finite_the_training_goes_on(value: float) -> None:
    """As if it had not been: momenta would hold the nan for ever."""
    model, inputs, targets = make()
    other = copy.deepcopy(model)
    controller, plain = TaylorController(Adam(model.parameters()), model), Adam(other.parameters())
    for step in range(3):
        if step == 1:
            backward(model, inputs, targets, controller)
            next(model.parameters()).grad[0, 0] = value  # type: ignore[index]
            with pytest.raises(ValueError, match="the gradients are not finite at step 2"):
                controller.step()
        backward(model, inputs, targets, controller)
        controller.step()
        backward(other, inputs, targets, plain)
        plain.step()
        assert torch.equal(flat(model), flat(other))


def test_an_update_that_overflows_is_refused_and_leaves_the_parameters() -> None:
    model, inputs, targets = make()
    controller = TaylorController(SGD(model.parameters(), lr=1e300), model)
    backward(model, inputs, targets, controller)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e100)
    before = flat(model)
    with pytest.raises(ValueError, match="the update of SGD is not finite at step 1"):
        controller.step()
    assert torch.equal(flat(model), before)


def test_sparse_gradients() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(7, 4, sparse=True), nn.Linear(4, 7))
    tokens = torch.tensor([0, 3, 3])
    controller = TaylorController(SGD(model.parameters(), lr=1e3), model)
    LOSS(model(tokens), tokens).backward()
    controller.step()
    assert 0 < controller.trace().scale[0] < 1
    model(tokens).sum().mul(math.nan).backward()
    with pytest.raises(ValueError, match="the gradients are not finite at step 2"):
        controller.step()


def test_a_step_without_a_batch_is_refused_and_leaves_the_parameters() -> None:
    model, inputs, targets = make()
    optimizer = SGD(model.parameters(), lr=0.1)
    backward(model, inputs, targets, optimizer)
    before = flat(model)
    with pytest.raises(ValueError, match="the model has not been called since the controller was made"):
        TaylorController(optimizer, model).step()
    assert torch.equal(flat(model), before)


def test_without_gradients_nothing_moves_and_nothing_is_measured() -> None:
    model, *_ = make()
    controller = TaylorController(SGD(model.parameters(), lr=0.1), model)
    controller.step()
    assert controller.trace().measured.tolist() == [False]
    assert controller.trace().scale.tolist() == [1]


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"r": 0.0}, ValueError, "r=0.0 is out of range"),
        ({"r": math.inf}, ValueError, "r=inf is out of range"),
        ({"every": 0}, ValueError, "every=0 is out of range"),
        ({"kind": "majorty"}, ValueError, "did you mean 'majority'"),
        ({"form": "caps"}, ValueError, "did you mean 'cap'"),
        ({"logits": 3}, TypeError, "logits is a int, not a module, a Problem or a function"),
        ({"logits": lambda *_: 0, "read": lambda x: x}, TypeError, "read= is for a module's outputs"),
        ({"logits": nn.Linear(2, 2)}, ValueError, "that is none of the model's"),
        ({"optimizer": 3}, TypeError, "optimizer is a int"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    model, *_ = make()
    arguments: dict[str, Any] = {"optimizer": SGD(model.parameters(), lr=0.1), "logits": model} | keywords
    with pytest.raises(error, match=message):
        TaylorController(**arguments)


def test_a_problem_in_fewer_parameters_is_refused() -> None:
    model, inputs, targets = make()
    problem = wb.Problem(model, LOSS, (inputs, targets), parameters="2.*")
    with pytest.raises(ValueError, match=r"does not select '0\.weight', which the optimizer moves"):
        TaylorController(SGD(model.parameters(), lr=0.1), problem)


def test_a_frozen_parameter_may_stand_in_the_optimizer() -> None:
    model, inputs, targets = make()
    model[0].weight.requires_grad_(False)
    controller = TaylorController(
        SGD(model.parameters(), lr=50.0), wb.Problem(model, LOSS, (inputs, targets))
    )
    before = flat(model)
    backward(model, inputs, targets, controller)
    controller.step()
    radius = radius_by_two_backwards(model, inputs, before, flat(model) - before, "majority")
    assert controller.trace().scale[0] < 1
    assert controller.trace().taken[0] == pytest.approx(radius, rel=1e-9)
    model[0].weight.requires_grad_(True)
    backward(model, inputs, targets, controller)
    with pytest.raises(ValueError, match=r"does not select '0\.weight', which the optimizer moves"):
        controller.step()


def test_copies_are_refused() -> None:
    model, *_ = make()
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        copy.deepcopy(TaylorController(SGD(model.parameters(), lr=0.1), model))


# ---- the trace -------------------------------------------------------------------------------------------


def test_the_trace_is_a_result(tmp_path: Path) -> None:
    model, inputs, targets = make()
    controller = TaylorController(SGD(model.parameters(), lr=5.0), model, r=0.5)
    assert controller.trace().summary() == "no step"
    controller.trace().plot()
    for _ in range(5):
        backward(model, inputs, targets, controller)
        controller.step()
    trace = controller.trace()
    again = wb.load_result(trace.save(tmp_path / "trace.npz"))
    assert isinstance(again, ControlTrace)
    assert again.frame().equals(trace.frame())
    assert again.summary() == trace.summary()
    lines = {line.get_label(): np.asarray(line.get_ydata(), dtype=float) for line in trace.plot().lines}
    np.testing.assert_allclose(lines["0.5 × radius (majority)"], 0.5 * trace.radius)
    assert trace.frame()["ratio"].max() <= 0.5 * (1 + 1e-9)
