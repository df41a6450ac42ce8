"""A training is the same with a recorder and without, and what is recorded is of the right step."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.recorder import Recorder
from workbench.stability.quantities import BatchSharpness, GradientNoiseScale


class Mean(wb.Quantity):
    """A quantity as a user writes it: careless about random states."""

    name, cost = "mean", 0.0

    def measure(self, moment):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        return {"": moment.problem.parameters_vector().mean().item(), "other": (1.0, 0.5)}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 2))


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


def make(kind=torch.optim.SGD, **keywords):
    model = network()
    problem = wb.Problem(model.eval(), nn.CrossEntropyLoss(), data())
    return model.train(), problem, kind(model.parameters(), lr=0.1, **keywords)


ALL = ["loss", "gradient_norm", "sharpness", "hessian_trace", "taylor_radius", "update_norm", Mean(),
       BatchSharpness(4, 3), GradientNoiseScale(4, 3)]  # fmt: skip


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
    model, problem, optimizer = make()
    states = [problem.parameters_vector()]
    losses = []

    def after():
        recorder.step()
        states.append(problem.parameters_vector())

    class Inner(wb.Quantity):
        name, cost = "inner", 0.0

        def measure(self, moment):
            assert not any(module.training for module in model.modules())
            assert torch.equal(moment.problem.parameters_vector(), states[moment.step])
            losses.append(moment.problem.loss_at())
            return 0.0

    recorder = Recorder(problem, optimizer, {"update_norm": 3, "loss": 1})
    recorder.quantities.append(Inner())
    recorder._every["inner"] = 1
    train(model, optimizer, 7, after)
    trace = recorder.trace()
    norms = trace.of("update_norm")
    assert norms["step"].tolist() == [0, 3, 6]
    expected = [(states[i + 1] - states[i]).norm().item() for i in (0, 3, 6)]
    np.testing.assert_allclose(norms["value"], expected, rtol=1e-6)
    assert trace.of("loss")["value"].tolist() == losses
    assert trace.of("learning_rate")["value"].tolist() == [0.1] * 7


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
    timed = "training_seconds"
    assert (
        found[found.quantity != timed][names]
        .reset_index(drop=True)
        .equals(expected[expected.quantity != timed][names].reset_index(drop=True))
    )


def test_listeners_hear_of_each_step_that_was_measured_and_of_the_end():
    model, problem, optimizer = make()
    recorder = Recorder(problem, optimizer, ["loss"], every=2)
    heard = []
    recorder.listeners.append(lambda it: heard.append((it.steps, len(it.trace().of("loss")), it.closed)))
    with recorder:
        train(model, optimizer, 4, after=recorder.step)
    assert heard == [(1, 1, False), (3, 2, False), (4, 2, True)]
