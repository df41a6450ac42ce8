"""Activity of modules against planted faults and plain torch."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import workbench as wb
from workbench.inspection import Activity, activity
from workbench.progress import listening


def row(found: Activity, name: str) -> Any:
    frame = found.frame()
    return frame[frame["module"] == name].iloc[0]


def classification(model: nn.Module, inputs: Tensor, **keywords: Any) -> wb.Problem:
    targets = torch.arange(len(inputs)) % 3
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), (inputs, targets), **keywords)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_outputs_and_gradients_are_those_of_plain_torch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    inputs = torch.randn(10, 4, dtype=torch.float64)
    found = activity(classification(model, inputs))
    hidden = model[0](inputs).detach().requires_grad_()
    loss = F.cross_entropy(model[2](torch.tanh(hidden)), torch.arange(10) % 3)
    (gradient,) = torch.autograd.grad(loss, hidden)
    first = row(found, "0")
    squares = hidden.detach().square().mean(1)
    assert first["rms"] == pytest.approx(squares.mean().sqrt().item(), rel=1e-12)
    error = squares.std().item() / math.sqrt(10) / (2 * first["rms"])
    assert first["rms_stderr"] == pytest.approx(error, rel=1e-9)
    assert first["largest"] == pytest.approx(hidden.abs().max().item())
    assert first["gradient_rms"] == pytest.approx(10 * gradient.square().mean().sqrt().item(), rel=1e-12)
    assert found.modules == ("0", "1", "2")
    assert list(found.layers) == [True, False, True]
    assert (found.examples, found.gradients) == (10, 1)


def test_batches_and_a_sum_do_not_change_an_examples_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    inputs, targets = torch.randn(12, 4).double(), torch.arange(12) % 3
    whole = activity(wb.Problem(model, nn.CrossEntropyLoss(), (inputs, targets)))
    split = list(zip(inputs.split(5), targets.split(5), strict=True))
    for loss in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="sum")):
        found = activity(wb.Problem(model, loss, split))
        for name in ("rms", "rms_stderr", "gradient_rms", "gradient_rms_stderr", "zero", "largest"):
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-9)
        assert (found.calls == 1).all()


def test_planted_dead_units_are_found_and_no_others() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].weight[:3] = 0
        model[0].bias[:3] = -1
        model[0].bias[3:] = 3
    found = activity(classification(model, torch.randn(50, 4).clamp(-1, 1)))
    assert (row(found, "1")["units"], row(found, "1")["dead"]) == (8, 3)
    assert found.dead_share == 3 / 8
    assert found.rarest == pytest.approx(1 - 0.05 ** (1 / 50))
    assert "3 of 8 rectified units dead on 50 examples" in found.summary()


@pytest.mark.parametrize("inplace", [False, True])
def test_units_of_convolutions_are_channels_and_of_sequences_features(inplace: bool) -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.rest = nn.Conv1d(2, 5, 3), nn.ReLU(inplace)
            self.linear, self.relu = nn.Linear(5, 7), nn.ReLU(inplace)
            self.head = nn.Linear(7, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.rest(self.conv(x)).transpose(1, 2)
            return self.head(self.relu(self.linear(x)).mean(1))

    torch.manual_seed(0)
    model = Sequence()
    with torch.no_grad():
        model.conv.weight[1], model.conv.bias[1] = 0, -1
        model.linear.weight[:2], model.linear.bias[:2] = 0, -1
    found = activity(classification(model, torch.randn(20, 2, 6)))
    assert (row(found, "rest")["units"], row(found, "rest")["dead"]) == (5, 1)
    assert row(found, "relu")["units"] == 7
    assert row(found, "relu")["dead"] >= 2
    assert row(found, "conv")["gradient_rms"] > 0


def test_working_in_place_changes_nothing() -> None:
    found = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace), nn.Conv2d(4, 4, 3), nn.ReLU(inplace),
            nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip
        found.append(activity(classification(model, torch.randn(10, 1, 6, 6))))
    plain, inplace_ = found
    for name in ("rms", "gradient_rms", "zero", "dead", "largest"):
        np.testing.assert_allclose(getattr(inplace_, name), getattr(plain, name), rtol=1e-6)


def test_a_gradient_within_the_model_is_not_that_of_the_loss() -> None:
    class Force(nn.Module):
        """Returns the gradient of an energy with respect to its inputs."""

        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return torch.autograd.grad(self.body(x).sum(), x, create_graph=True)[0]

    torch.manual_seed(0)
    model, data = Force().double(), (torch.randn(8, 3).double(), torch.randn(8, 3).double())
    found = activity(wb.Problem(model, nn.MSELoss(), data))
    hidden = model.body[0](data[0]).detach().requires_grad_()
    energy = model.body[2](torch.tanh(hidden)).sum()
    force = torch.autograd.grad(energy, hidden, create_graph=True)[0] @ model.body[0].weight
    (expected,) = torch.autograd.grad(F.mse_loss(force, data[1]), hidden)
    assert row(found, "body.0")["gradient_rms"] == pytest.approx(8 * expected.square().mean().sqrt().item())


def test_functions_are_seen_where_there_is_no_module() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.sigmoid(self.two(F.relu(self.one(x)))).relu())

    torch.manual_seed(0)
    model = Functional()
    with torch.no_grad():
        model.one.weight[:2], model.one.bias[:2] = 0, -1
    found = activity(classification(model, torch.randn(40, 4)))
    assert found.modules == (
        "one", "model (relu 1)", "two", "model (sigmoid 2)", "model (relu 3)", "head",
    )  # fmt: skip
    assert row(found, "model (relu 1)")["dead"] == 2
    assert row(found, "model (relu 3)")["dead"] == 0


def test_saturation_is_where_the_slope_is_small() -> None:
    inputs = torch.linspace(-6, 6, 1201, dtype=torch.float64)[:, None]
    slope = 1 - torch.tanh(inputs) ** 2
    for function, stretch in ((nn.Tanh(), 1.0), (nn.Sigmoid(), 2.0)):
        model = nn.Sequential(nn.Linear(1, 1), function, nn.Linear(1, 3)).double()
        with torch.no_grad():
            model[0].weight.fill_(stretch)  # the sigmoid of 2x has the relative slope of tanh at x
            model[0].bias.zero_()
        found = activity(classification(model, inputs), examples=2000)
        assert row(found, "1")["saturated"] == pytest.approx((slope < 0.05).double().mean().item(), abs=1e-3)


def test_a_planted_growth_is_found() -> None:
    layers = [nn.Linear(4, 4, bias=False) for _ in range(6)]
    with torch.no_grad():
        for layer, factor in zip(layers, (3, 3, 3, 50, 3, 3), strict=True):
            layer.weight.copy_(factor * torch.eye(4))
    data = torch.randn(30, 4), torch.zeros(30, 4)
    exploding = activity(wb.Problem(nn.Sequential(*layers), nn.MSELoss(), data))
    assert exploding.largest_jump is not None
    assert exploding.largest_jump[:2] == ("2", "3")
    assert exploding.largest_jump.factor == pytest.approx(50, rel=1e-5)
    with torch.no_grad():
        layers[3].weight.copy_(3 * torch.eye(4))
    steady = activity(wb.Problem(nn.Sequential(*layers), nn.MSELoss(), data))
    assert steady.growth.value == pytest.approx(3, rel=1e-5)
    assert steady.growth.error < 1e-4
    assert steady.gradient_growth.value == pytest.approx(3, rel=1e-5)


def test_values_that_are_not_finite_are_counted() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x > 1, torch.inf, x)

    class Repaired(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.nan_to_num(posinf=1.0)

    inputs = torch.tensor([[0.5], [2.0], [0.1], [3.0]])
    model = nn.Sequential(nn.Linear(1, 1), Broken(), Repaired(), nn.Linear(1, 3))
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.fill_(0)
    found = activity(classification(model, inputs))
    assert row(found, "1")["unfinite"] == 2
    assert row(found, "1")["rms"] == pytest.approx(math.sqrt((0.25 + 0.01) / 4))
    assert "NOT FINITE, first in 1" in found.summary()
    found.plot()


def test_a_module_that_is_called_several_times_is_one_row() -> None:
    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.act, self.head = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.act(self.cell(x))
            return self.head(x)

    torch.manual_seed(0)
    model, inputs = Repeated().double(), torch.randn(9, 4, dtype=torch.float64)
    found = activity(classification(model, inputs))
    outputs, x = [], inputs
    with torch.no_grad():
        for _ in range(3):
            outputs.append(model.cell(x))
            x = F.relu(outputs[-1])
    squares = torch.stack(outputs).square().mean((0, 2))  # by example, over its three calls
    assert row(found, "cell")["calls"] == 3
    assert row(found, "cell")["rms"] == pytest.approx(squares.mean().sqrt().item(), rel=1e-12)
    error = squares.std().item() / 3 / (2 * row(found, "cell")["rms"])
    assert row(found, "cell")["rms_stderr"] == pytest.approx(error, rel=1e-9)


def test_a_checkpointed_block_is_counted_once() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU())
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(checkpoint(self.block, x, use_reentrant=False))

    torch.manual_seed(0)
    model = Checkpointed()
    plain = nn.Sequential(model.block, model.head)
    inputs = torch.randn(8, 4)
    found, expected = (activity(classification(each, inputs)) for each in (model, plain))
    assert (found.calls == 1).all()
    for name in ("rms", "gradient_rms", "zero", "dead"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)


def test_weights_that_are_made_by_modules_are_no_activations() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    found = activity(classification(nn.Sequential(layer), torch.randn(6, 4)))
    assert found.modules == ("0",)


def test_before_the_first_trained_parameter_there_is_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    model[0].requires_grad_(False)
    found = activity(classification(model, torch.randn(6, 4)))
    np.testing.assert_array_equal(np.isnan(found.gradient_rms), [True, True, False])
    assert "gradient at 0, 1: no selected parameter before" in found.summary()


def test_hooks_are_gone_also_when_the_model_raises() -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.fails = nn.Linear(4, 3), False

        def forward(self, x: Tensor) -> Tensor:
            if self.fails:
                raise RuntimeError("not today")
            return self.linear(x)

    model = Moody()
    problem = classification(model, torch.randn(6, 4))
    before = copy.deepcopy(model.state_dict())
    activity(problem)
    assert hooks(model) == 0
    model.fails = True
    with pytest.raises(RuntimeError, match="not today"):
        activity(problem)
    assert hooks(model) == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_some_examples_are_drawn_by_the_seed() -> None:
    model = nn.Linear(4, 3)
    inputs, targets = torch.randn(100, 4), torch.arange(100) % 3
    split = list(zip(inputs.split(10), targets.split(10), strict=True))
    problem = wb.Problem(model, nn.CrossEntropyLoss(), split)
    found = activity(problem, examples=25)
    assert (found.examples, found.gradients) == (25, 0.25)
    assert found.rms[0] == activity(problem, examples=25).rms[0]
    assert found.rms[0] != activity(problem, examples=25, seed=1).rms[0]
    whole = wb.Problem(model, nn.CrossEntropyLoss(), split, weight="batch")
    assert activity(whole, examples=25).examples == 30


def test_an_interrupt_returns_the_batches_so_far() -> None:
    inputs, targets = torch.randn(30, 4), torch.arange(30) % 3
    split = list(zip(inputs.split(10), targets.split(10), strict=True))
    problem = wb.Problem(nn.Linear(4, 3), nn.CrossEntropyLoss(), split)

    def stop(description: str, done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with listening(stop):
        found = activity(problem)
    assert found.interrupted
    assert found.examples == 20
    assert hooks(problem.model) == 0


def test_a_result_is_saved_and_drawn(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    found = activity(classification(model, torch.randn(20, 4)))
    again = wb.load_result(found.save(tmp_path / "found.npz"))
    assert isinstance(again, Activity)
    assert again.summary() == found.summary()
    drawn = found.plot().containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(np.asarray(drawn, dtype=float), found.rms)
    assert [text.get_text() for text in found.plot_units().get_yticklabels()] == ["1"]


def test_examples_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="examples=0"):
        activity(classification(nn.Linear(4, 3), torch.randn(6, 4)), examples=0)


@pytest.mark.parametrize("widths", [(6, 6), (6, 9)])
def test_a_rectifier_that_is_used_twice_has_the_units_of_both_places(widths: tuple[int, int]) -> None:
    class Reusing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, widths[0]), nn.Linear(widths[0], widths[1])
            self.head, self.relu = nn.Linear(widths[1], 3), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.second(self.relu(self.first(x)))))

    torch.manual_seed(0)
    model = Reusing()
    with torch.no_grad():
        for layer, dead in ((model.first, 2), (model.second, 3)):
            layer.weight[-dead:] = 0
            layer.bias[:-dead], layer.bias[-dead:] = 9, -1
    inputs, targets = torch.randn(20, 4), torch.arange(20) % 3
    batches = list(zip(inputs.split(7), targets.split(7), strict=True))
    found = activity(wb.Problem(model, nn.CrossEntropyLoss(), batches))
    for name, width, dead in (("relu", widths[0], 2), ("relu (call 2)", widths[1], 3)):
        assert (row(found, name)["units"], row(found, name)["dead"]) == (width, dead)
        assert row(found, name)["calls"] == 1
    assert found.left_out == {}


def test_an_output_without_elements_does_not_count() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.none, self.relu = nn.Linear(4, 3), nn.Linear(4, 3), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            chosen = x[:, 0] > 0
            out = torch.cat([self.one(x[chosen]), self.none(x[~chosen])])
            return out + self.relu(x[:0]).sum()

    inputs = torch.randn(8, 4)
    inputs[:4, 0], inputs[4:, 0] = 1, -1  # the first expert has nothing to do in the second batch
    batches = list(zip(inputs.split(4), (torch.arange(8) % 3).split(4), strict=True))
    model = Experts()
    found = activity(wb.Problem(model, nn.CrossEntropyLoss(), batches))
    outputs = model.one(inputs[:4]).detach()
    assert row(found, "one")["largest"] == pytest.approx(outputs.abs().max().item())
    assert row(found, "one")["rms"] == pytest.approx(outputs.square().mean().sqrt().item(), rel=1e-5)
    assert row(found, "relu")["units"] == 0
    assert found.left_out["relu"] == "returned tensors without an element"
    assert not any("their number" in reason for reason in found.left_out.values())


def test_outputs_without_a_row_for_each_example_have_no_error_gradient_or_growth() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.places, self.embed, self.head = nn.Embedding(16, 5), nn.Linear(1, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:  # (8, 16): 16 is twice the examples
            hidden = self.embed(x[..., None]) + self.places(torch.arange(16))
            return self.head(hidden.mean(1))

    found = activity(classification(Positions(), torch.randn(8, 16)))
    places = row(found, "places")
    assert np.isnan([places["gradient_rms"], places["gradient_rms_stderr"], places["rms_stderr"]]).all()
    assert not places["layer"]
    assert found.left_out["gradient and growth at places"] == "its outputs have no row for each example"
    assert np.isfinite(row(found, "embed")["gradient_rms_stderr"])


def test_examples_are_drawn_from_all_batches_of_sorted_data() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 3))
    with torch.no_grad():
        model[0].weight[:], model[0].bias[:] = 1, 0
    inputs = torch.cat([-torch.ones(60, 1), torch.ones(60, 1)])  # active on the second half
    batches = list(zip(inputs.split(30), (torch.arange(120) % 3).split(30), strict=True))
    problem = wb.Problem(model, nn.CrossEntropyLoss(), batches)
    for seed in range(5):
        found = activity(problem, examples=30, seed=seed)
        assert (found.examples, found.dead.sum()) == (30, 0)
