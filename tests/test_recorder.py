"""A training is the same with a recorder and without, and what is recorded is of the right step."""

import copy
import gc
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
import workbench.recorder
from workbench.recorder import Recorder
from workbench.stability import TaylorController
from workbench.stability.quantities import BatchSharpness, GradientNoiseScale, Sharpness
from workbench.trace_file import TraceFile


class Mean(wb.Quantity):
    """A quantity as a user writes it: careless about random states."""

    name, cost = "mean", 0.0

    def measure(self, moment):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        return {"": moment.problem.parameters_vector().mean().item(), "other": (1.0, 0.5)}


class Costless(wb.Quantity):
    name = "costless"

    def measure(self, moment):
        return 0.0


class Nameless(wb.Quantity):
    cost = 0.0

    def measure(self, moment):
        return 0.0


def network(middle=None):
    torch.manual_seed(0)
    middle = nn.BatchNorm1d(6) if middle is None else middle
    return nn.Sequential(nn.Linear(3, 6), middle, nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 2))


def train(model, optimizer, steps, after=lambda: None, seed=1):
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    losses = []
    for _ in range(steps):
        x = torch.randn(8, 3) + np.random.rand() + random.random()  # noqa: NPY002
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
        loss.backward()
        optimizer.step()
        after()
        losses.append(loss.item())
    return losses


def data():
    inputs = torch.randn(12, 3, generator=torch.Generator().manual_seed(5))
    return [(inputs[:7], (inputs[:7, 0] > 0).long()), (inputs[7:], (inputs[7:, 0] > 0).long())]


def make(kind=torch.optim.SGD, *, middle=None, lr=0.1, **keywords):
    model = network(middle)
    problem = wb.Problem(model.eval(), nn.CrossEntropyLoss(), data())
    return model.train(), problem, kind(model.parameters(), lr=lr, **keywords)


@torch.no_grad()
def loss_of(model):
    """The loss over the data by plain torch; a copy of the model is in eval mode, not the model."""
    inputs, targets = (torch.cat(parts) for parts in zip(*data(), strict=True))
    return nn.functional.cross_entropy(copy.deepcopy(model).eval()(inputs), targets).item()


ALL = ["loss", "gradient_norm", "sharpness", "hessian_trace", "taylor_radius", "update_norm", Mean(),
       BatchSharpness(4, 3), GradientNoiseScale(4, 3), BatchSharpness(4, 3, by_layer=True), "exact_radius",
       "layer_radii", "hessian_trace_by_layer", "taylor_radius_by_layer"]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "keywords"), [(torch.optim.SGD, {"momentum": 0.9}), (torch.optim.AdamW, {"amsgrad": True})]
)
def test_a_training_is_bit_for_bit_the_same(kind, keywords):
    ends = []
    for recorded in (False, True):
        model, problem, optimizer = make(kind, **keywords)
        model[1].eval()  # a mode that is not that of the whole
        after = Recorder(problem, optimizer, ALL, every=2).step if recorded else lambda: None
        losses = train(model, optimizer, 7, after)
        state = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
        numbers = [torch.rand(1), torch.tensor(np.random.rand()), torch.tensor(random.random())]  # noqa: NPY002
        modes = [module.training for module in model.modules()]
        ends.append((losses, modes, [tensor.clone() for tensor in [*state, *numbers]]))
    (losses, modes, tensors), (losses2, modes2, tensors2) = ends
    assert losses == losses2
    assert modes == modes2
    assert all(torch.equal(a, b) for a, b in zip(tensors, tensors2, strict=True))


def test_rows_tell_of_the_state_before_the_step_and_of_its_update():
    model, problem, optimizer = make(middle=nn.Tanh())
    states, losses = [problem.parameters_vector()], [loss_of(model)]

    def after():
        recorder.step()
        states.append(problem.parameters_vector())
        losses.append(loss_of(model))

    recorder = Recorder(problem, optimizer, {"update_norm": 3, "loss": 1})
    train(model, optimizer, 7, after)
    trace = recorder.trace()
    norms = trace.of("update_norm")
    assert norms["step"].tolist() == [0, 3, 6]
    expected = [(states[i + 1] - states[i]).norm().item() for i in (0, 3, 6)]
    np.testing.assert_allclose(norms["value"], expected, rtol=1e-6)
    np.testing.assert_allclose(trace.of("loss")["value"], losses[:-1], rtol=1e-6)
    assert np.abs(np.diff(losses)).min() > 1e-4  # so that a row of another step would be seen
    assert trace.of("learning_rate")["value"].tolist() == [0.1] * 7


def test_batchnorms_statistics_are_those_that_the_forward_pass_of_the_step_left():
    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, ["loss"])
    before = copy.deepcopy(model)
    train(model, optimizer, 1, recorder.step)
    found = recorder.trace().of("loss")["value"].item()
    assert abs(found - loss_of(before)) > 1e-3
    before.load_state_dict(dict(model.named_buffers()), strict=False)
    assert found == pytest.approx(loss_of(before), rel=1e-6)


@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("as_rate", [float, torch.tensor])
def test_rows_have_the_settings_of_their_step_also_where_a_scheduler_comes_first(controlled, as_rate):
    model, problem, optimizer = make(lr=as_rate(0.4), momentum=0.5)
    if controlled:
        optimizer = TaylorController(optimizer, model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    recorder = Recorder(problem, optimizer, ["stability_threshold"], every=1)
    (group,) = optimizer.param_groups

    def after():
        scheduler.step()
        group["momentum"] /= 2
        known = dict(group)
        recorder.step()
        assert list(group) == list(known)
        assert all(group[key] is value for key, value in known.items())

    train(model, optimizer, 4, after)
    trace = recorder.trace()
    rates, momenta = 0.4 * 0.5 ** np.arange(4), 0.5 ** np.arange(1, 5)
    np.testing.assert_allclose(trace.of("learning_rate")["value"], rates, rtol=1e-6)
    np.testing.assert_allclose(trace.of("stability_threshold")["value"], (2 + 2 * momenta) / rates, rtol=1e-6)
    assert float(group["lr"]) == pytest.approx(0.025)


def test_an_optimizer_is_let_go_at_the_end_of_its_recorder():
    _, problem, optimizer = make()
    with Recorder(problem, optimizer, ["loss"]) as recorder:
        assert len(optimizer._optimizer_step_post_hooks) == 1
    assert not optimizer._optimizer_step_post_hooks
    with pytest.raises(ValueError, match="closed after 0 steps: make another with start=0"):
        recorder.step()
    recorder = Recorder(problem, optimizer, ["loss"])
    del recorder
    gc.collect()
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize(
    ("wrap", "threshold"),
    [(TaylorController, ["stability_threshold"]),
     (lambda optimizer, model: torch.optim.Adagrad(model.parameters()), [])],
)  # fmt: skip
def test_by_default_the_threshold_is_recorded_where_it_is_known(wrap, threshold):
    model, problem, optimizer = make()
    recorder = Recorder(problem, wrap(optimizer, model))
    train(model, recorder.optimizer, 1, recorder.step)
    assert list(recorder.trace().every) == ["loss", "gradient_norm", "sharpness", *threshold]
    assert set(recorder.trace().every) < set(recorder.trace().quantities)


def test_all_time_of_a_step_is_told_as_training_measuring_listening_or_the_recorders_own(
    monkeypatch, tmp_path
):
    now = [0.0]

    def slow(seconds, function):
        def slowed(*arguments):
            now[0] += seconds
            return function(*arguments)

        return slowed

    class Slow(wb.Quantity):
        name, cost = "slow", 0.0
        measure = slow(16, lambda self, moment: {"": 1.0, "other": 2.0})

    monkeypatch.setattr(workbench.recorder, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(workbench.recorder, "_fill", slow(1, workbench.recorder._fill))  # there and back
    monkeypatch.setattr(wb.Problem, "parameters_vector", slow(0.25, wb.Problem.parameters_vector))  # twice
    monkeypatch.setattr(TraceFile, "append", slow(4, TraceFile.append))
    monkeypatch.setattr(Recorder, "_keep_state", slow(8, Recorder._keep_state))
    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, [Slow()], every=2, path=tmp_path / "run.parquet")
    recorder.listeners.append(slow(1000, lambda recorder: None))
    train(model, optimizer, 3, after=slow(100, recorder.step))
    trace = recorder.trace()
    assert trace.of("training_seconds")["value"].tolist() == [100, 200]
    assert trace.of("recorder_seconds")["value"].tolist() == [8 + 2.5, 4 + 8 + 8 + 2.5]
    assert trace.of("listener_seconds")["value"].tolist() == [0, 1000]
    assert trace.seconds[trace.quantity == "slow"].tolist() == [8, 8, 8, 8]
    assert trace.overhead == (10.5 + 22.5 + 32 + 1000) / 300
    assert "65 s of measuring (33 s the recorder's own), 1e+03 s of listeners beside 300 s" in trace.summary()


def test_costs_are_known_before_and_measured_after():
    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, {"loss": 1, "hessian_trace": 4})
    cost = recorder.cost().set_index("quantity")
    assert cost.loc["hessian_trace", "gradients_per_1000_steps"] == 5000
    assert cost.loc["loss", "measurements_per_1000_steps"] == 1000
    train(model, optimizer, 5, recorder.step)
    costs = recorder.trace().costs().set_index("quantity")
    assert costs["measurements"].tolist() == [5, 2]
    assert (costs["seconds"] > 0).all()
    assert recorder.trace().overhead > 0


def test_an_error_of_a_quantity_leaves_the_model_as_it_was():
    class Broken(wb.Quantity):
        name, cost = "broken", 0.0

        def measure(self, moment):
            raise ZeroDivisionError("no")

    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, [Broken()])
    twin = copy.deepcopy(model)
    twin_optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    with pytest.raises(ZeroDivisionError):
        train(model, optimizer, 1, recorder.step)
    train(twin, twin_optimizer, 1)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True)
    )
    assert model.training


def test_where_the_loss_is_not_finite_values_are_nan():
    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, ["sharpness", "loss"], every=1)
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    recorder._keep_state()
    recorder.step()
    assert np.isnan(recorder.trace().of("sharpness")["value"]).all()


@pytest.mark.parametrize(
    ("quantities", "error", "message"),
    [(["sharpnes"], ValueError, "did you mean 'sharpness'"), ([3], TypeError, "a quantity is a int"),
     ([Sharpness], TypeError, "is the class Sharpness: pass a name, or an object"),
     (Sharpness, TypeError, "is the class Sharpness"), ([Costless()], TypeError, "'costless' has no cost"),
     ([Nameless()], TypeError, "a Nameless has no name"),
     ([], ValueError, "no quantity"), (["loss", "loss"], ValueError, "recorded twice"),
     ({"loss": 0}, ValueError, "every of 'loss'=0"),
     (["preconditioned_sharpness"], ValueError, "SGD is neither")],
)  # fmt: skip
def test_bad_quantities_are_refused(quantities, error, message):
    _, problem, optimizer = make()
    with pytest.raises(error, match=message):
        Recorder(problem, optimizer, quantities)


def test_an_optimizer_of_another_model_is_refused():
    _, problem, _ = make()
    with pytest.raises(ValueError, match="has no parameter of"):
        Recorder(problem, torch.optim.SGD(network().parameters(), lr=0.1))


def test_a_resumed_run_goes_on_in_its_file(tmp_path):
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    model, problem, optimizer = make()
    with Recorder(problem, optimizer, ["loss", "hessian_trace"], every=2, path=whole) as recorder:
        train(model, optimizer, 9, recorder.step)
    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, ["loss", "hessian_trace"], every=2, path=parts)
    kept = []

    def after():
        recorder.step()
        kept.append(
            (
                copy.deepcopy(model.state_dict()),
                torch.get_rng_state(),
                np.random.get_state(),  # noqa: NPY002
                random.getstate(),
            )
        )

    train(model, optimizer, 7, after)
    with pytest.raises(ValueError, match="holds rows up to step 6"):
        Recorder(problem, optimizer, ["loss"], path=parts)
    model.load_state_dict(kept[4][0])
    resumed = Recorder(problem, optimizer, ["loss", "hessian_trace"], every=2, path=parts, start=5)

    def restore(numpy_state=kept[4][2], python_state=kept[4][3]):
        torch.set_rng_state(kept[4][1])
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)

    restore()
    for _ in range(4):
        x = torch.randn(8, 3) + np.random.rand() + random.random()  # noqa: NPY002
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
        resumed.step()
    resumed.close()
    names = ["step", "quantity", "part", "value", "error"]
    found, expected = (wb.load_trace(path).frame() for path in (parts, whole))
    timed = ["training_seconds", "recorder_seconds", "listener_seconds"]
    found, expected = (
        frame[~frame.quantity.isin(timed)][names].reset_index(drop=True) for frame in (found, expected)
    )
    assert found.equals(expected)


def test_listeners_hear_of_each_step_that_was_measured_and_of_the_end():
    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, ["loss"], every=2)
    heard = []
    recorder.listeners.append(lambda it: heard.append((it.steps, len(it.trace().of("loss")), it.closed)))
    with recorder:
        train(model, optimizer, 4, after=recorder.step)
    assert heard == [(1, 1, False), (3, 2, False), (4, 2, True)]
