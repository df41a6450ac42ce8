"""Short trainings against a plain loop."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from small_networks import Checkpointed, Tied
from torch import Tensor, nn

import workbench as wb
from workbench.progress import listening, progress
from workbench.stability.rate_advice import ShortRuns, short_runs
from workbench.stability.rate_advice.makers import OPTIMIZERS


def problem_of(examples: int = 20) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.randn(examples, 4, dtype=torch.float64), torch.arange(examples) % 3
    return wb.Problem(model, nn.CrossEntropyLoss(), [(x[:13], y[:13]), (x[13:], y[13:])])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_they_end_where_a_plain_loop_ends(name: str) -> None:
    problem = problem_of()
    before = problem.parameters_vector()
    found = ShortRuns(problem, OPTIMIZERS[name], 6, 15).final_loss(0.1, seed=4)
    model = copy.deepcopy(problem.model)
    kinds = {
        "sgd": torch.optim.SGD(model.parameters(), 0.1),
        "momentum": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
        "adam": torch.optim.Adam(model.parameters(), 0.1),
    }
    x, y = (torch.cat(parts) for parts in zip(*(batch for batch, _ in problem.batches()), strict=True))
    random = torch.Generator().manual_seed(4)
    for _ in range(15):
        places = torch.randperm(20, generator=random)[:6]
        kinds[name].zero_grad()
        nn.functional.cross_entropy(model(x[places]), y[places]).backward()
        kinds[name].step()
    with torch.no_grad():
        assert found == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-12)
    assert torch.equal(problem.parameters_vector(), before)
    assert all(parameter.grad is None for parameter in problem.model.parameters())


def test_what_diverges_ends_at_infinity_and_costs_are_counted() -> None:
    runs = ShortRuns(problem_of(), OPTIMIZERS["sgd"], 5, 40)
    assert runs.final_loss(1e308, seed=0) == math.inf
    assert runs.final_loss(0.1, seed=0) != runs.final_loss(0.1, seed=1)
    whole = 2 * (40 * 5 / 20 + 1 / 3)
    assert whole < runs.gradients <= whole + 2 * 5 / 20  # what diverges costs the steps that it made


def test_batches_that_cannot_be_parted_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=21 is out of range: it must be from 1 to 20"):
        ShortRuns(problem_of(), OPTIMIZERS["sgd"], 21, 5)
    model = nn.Linear(2, 2)
    batches = [(torch.randn(4, 2), torch.arange(4) % 2)]
    weighted = wb.Problem(model, nn.CrossEntropyLoss(), batches, weight="batch")
    with pytest.raises(ValueError, match="minibatches need a loss that is made of those of examples"):
        ShortRuns(weighted, OPTIMIZERS["sgd"], 2, 5)


def test_what_cannot_take_steps_is_refused() -> None:
    with pytest.raises(TypeError, match="returned a NoneType"):
        ShortRuns(problem_of(), lambda parameters, rate: None, 5, 5)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="LBFGS needs a closure in each step"):
        ShortRuns(problem_of(), lambda parameters, rate: torch.optim.LBFGS(parameters, rate), 5, 5)


def test_batches_of_different_shapes_are_refused() -> None:
    batches = [(torch.randn(2, width, 4), torch.randn(2, width, 4)) for width in (3, 5)]
    problem = wb.Problem(nn.Linear(4, 4), nn.MSELoss(), batches)
    with pytest.raises(ValueError, match="batches of different shapes cannot be joined"):
        ShortRuns(problem, OPTIMIZERS["sgd"], 2, 5)


def test_minibatches_without_a_target_that_counts_are_no_steps() -> None:
    problem = problem_of()
    x, y = (torch.cat(parts) for parts in zip(*(batch for batch, _ in problem.batches()), strict=True))
    y = y.where(torch.arange(20) % 4 == 0, -100)
    runs = ShortRuns(problem.with_data((x, y)), OPTIMIZERS["sgd"], 1, 30)
    found = runs.final_loss(0.1, seed=4)
    model = copy.deepcopy(problem.model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    random, steps = torch.Generator().manual_seed(4), 0
    for _ in range(30):
        place = torch.randperm(20, generator=random)[:1]
        if y[place] >= 0:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[place]), y[place]).backward()
            optimizer.step()
            steps += 1
    with torch.no_grad():
        assert found == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-12)
    assert runs.gradients == pytest.approx(steps / 20 + 1 / 3)


@pytest.mark.parametrize("count", [1, 2])
def test_tensors_that_all_examples_share_stay_one_or_are_refused(count: int) -> None:
    x, y = torch.randn(8, 2), torch.arange(8) % 2
    batches = [
        {"temperature": torch.tensor(2.0), "x": a, "y": b}
        for a, b in zip(x.chunk(count), y.chunk(count), strict=True)
    ]
    problem = wb.Problem(
        nn.Linear(2, 2),
        nn.CrossEntropyLoss(),
        batches,
        forward=lambda model, batch: model(batch["x"]) / batch["temperature"],
        targets=lambda batch: batch["y"],
    )
    if count == 1:
        assert ShortRuns(problem, OPTIMIZERS["sgd"], 3, 5).final_loss(0.1, seed=0) < 5
        return
    with pytest.raises(ValueError, match="tensors without a row for each example, which cannot be joined"):
        ShortRuns(problem, OPTIMIZERS["sgd"], 3, 5)


def test_the_end_is_judged_on_the_same_random_examples() -> None:
    problem = problem_of()
    runs = ShortRuns(problem, OPTIMIZERS["sgd"], 6, 15, examples=14)
    judged = [batch for batch, _ in runs.judged.batches()]
    assert [len(y) for _, y in judged] == [13, 1]  # no batch is larger than the problem's
    rows = torch.cat([x for x, _ in judged])
    everything = torch.cat([x for (x, _), _ in problem.batches()])
    places = [int((everything == row).all(1).nonzero()) for row in rows]
    assert len(set(places)) == 14
    found = runs.final_loss(0.1, seed=4)
    model = copy.deepcopy(problem.model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = (torch.cat(parts) for parts in zip(*(batch for batch, _ in problem.batches()), strict=True))
    random = torch.Generator().manual_seed(4)
    for _ in range(15):
        drawn = torch.randperm(20, generator=random)[:6]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[drawn]), y[drawn]).backward()
        optimizer.step()
    with torch.no_grad():
        assert found == pytest.approx(
            nn.functional.cross_entropy(model(x[places]), y[places]).item(), rel=1e-12
        )
    assert runs.gradients == pytest.approx(runs.gradients_each) == pytest.approx(15 * 6 / 20 + 14 / 60)
    again = ShortRuns(problem, OPTIMIZERS["adam"], 3, 1, examples=14)
    assert torch.equal(torch.cat([x for (x, _), _ in again.judged.batches()]), rows)
    assert ShortRuns(problem, OPTIMIZERS["sgd"], 6, 15, examples=21).judged is problem


class PowerIteration(nn.Module):
    """A layer divided by an estimate of its norm, which each pass makes better."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 8)
        self.register_buffer("vector", torch.ones(4))

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.layer.weight
        with torch.no_grad():
            self.vector.copy_(F.normalize(weight.T @ (weight @ self.vector), dim=0))
        return F.linear(inputs, weight / (weight @ self.vector.clone()).norm(), self.layer.bias)


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "checkpointed":
        return Checkpointed(4, 8)
    if kind == "tied weights":
        return Tied(4)
    if kind == "power iteration":
        return nn.Sequential(PowerIteration(), nn.Tanh(), nn.Linear(8, 3))
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).eval()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["BatchNorm", "checkpointed", "tied weights", "power iteration"])
def test_they_end_bit_by_bit_where_a_plain_loop_ends_that_writes_no_buffers(kind: str, name: str) -> None:
    model = network(kind)
    x, y = torch.randn(20, 4), torch.arange(20) % 3
    decay = 0.1

    def penalty(parameters: dict[str, Tensor]) -> Tensor:
        return 0.01 * sum(value.abs().sum() for value in parameters.values())

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:  # reads the model, which holds the run's parameters
        return F.cross_entropy(outputs, targets) + 0.1 * next(model.parameters()).square().sum()

    problem = wb.Problem(model, loss, (x, y), regularizer=penalty, weight_decay=decay)
    state = copy.deepcopy(model.state_dict())
    found = ShortRuns(problem, OPTIMIZERS[name], 6, 15).final_loss(0.05, seed=4)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())

    optimizer = OPTIMIZERS[name](model.parameters(), 0.05)
    random = torch.Generator().manual_seed(4)
    for _ in range(15):
        places = torch.randperm(20, generator=random)[:6]
        put_back_buffers(model, state)
        optimizer.zero_grad()
        parameters = dict(model.named_parameters())
        total = loss(model(x[places]), y[places])  # in this order, in which gradients add up
        added = penalty(parameters) + decay / 2 * sum(value.square().sum() for value in parameters.values())
        (total + added).backward()
        optimizer.step()
    put_back_buffers(model, state)
    with torch.no_grad():
        assert found == loss(model(x), y).item()


def put_back_buffers(model: nn.Module, state: dict[str, Tensor]) -> None:
    for name, buffer in model.named_buffers():
        buffer.copy_(state[name])


def test_decay_is_the_optimizers_where_it_has_its_own() -> None:
    problem = problem_of()
    decaying = wb.Problem(problem.model, problem.loss, next(problem.batches())[0], weight_decay=0.3)

    def own(parameters: list[Tensor], rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, rate, weight_decay=0.3)

    ends = [
        ShortRuns(decaying, make, 6, 15).final_loss(0.1, seed=4)
        for make in (own, OPTIMIZERS["sgd"])  # gradient descent does the same with both
    ]
    assert ends[0] == pytest.approx(ends[1], rel=1e-12)
    free = wb.Problem(problem.model, problem.loss, next(problem.batches())[0])
    assert ShortRuns(free, OPTIMIZERS["sgd"], 6, 15).final_loss(0.1, seed=4) != pytest.approx(ends[0])


def test_a_run_says_whenever_others_may_have_the_model_that_it_is_at_work_and_may_be_stopped_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(short_runs, "_TURN", -1.0)  # after each step
    problem = problem_of()
    before = dict(problem.model.named_parameters())
    vector, told = problem.parameters_vector(), 0

    def listen(description: str, done: int, total: int | None) -> None:
        nonlocal told
        told += 1
        if told == 8:
            raise KeyboardInterrupt

    runs = ShortRuns(problem, OPTIMIZERS["sgd"], 5, 40)
    with listening(listen), progress("runs", 1), pytest.raises(KeyboardInterrupt):
        runs.final_loss(0.1, seed=0)
    assert runs.gradients == pytest.approx(6 * 5 / 20)  # one told at the beginning, and one before each step
    assert all(parameter is before[name] for name, parameter in problem.model.named_parameters())
    assert torch.equal(problem.parameters_vector(), vector)
