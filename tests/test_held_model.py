"""A model that holds given parameters for many batches remembers none of them, and is the user's again."""

import threading

import pytest
import torch
import torch.nn.functional as F
from small_networks import Checkpointed, Tied
from torch import Tensor, nn

from workbench.held_model import HeldModel
from workbench.problem import Parameters, Problem


def make_data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(24, 5, generator=generator), torch.randint(0, 3, (24,), generator=generator)


class Remembering(nn.Module):
    """Whose outputs tell how often it was called, if anything of a call stays in it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.layer = way, nn.Linear(5, 3)
        self.register_buffer("count", torch.zeros(()))
        self.other = nn.Module()
        self.other.register_buffer("same", self.count)
        self.kept = torch.zeros(())

    def forward(self, inputs: Tensor) -> Tensor:
        seen = self.other.same + self.kept + getattr(self, "new", 0)
        outputs = self.layer(inputs) * (1 + seen)
        if self.way == "in place":
            self.count += 1
        elif self.way == "data":
            self.count.data += 1
        elif self.way == "another buffer":
            self.count = self.count + 1
            self.other.same = self.count
        elif self.way == "attribute":
            self.kept = outputs.sum()
        else:
            self.new = outputs.sum()
        return outputs


def leaves_of(problem: Problem, scale: float = 1.5) -> Parameters:
    return {name: (scale * value).requires_grad_() for name, value in problem.parameters().items()}


@pytest.mark.parametrize("way", ["in place", "data", "another buffer", "attribute", "new attribute"])
def test_no_loss_sees_what_those_before_it_left(way: str) -> None:
    torch.manual_seed(0)
    model = Remembering(way)
    problem = Problem(model, nn.CrossEntropyLoss(), make_data())
    parameters = leaves_of(problem)
    kept, count = model.kept, model.count
    found = problem.hold(parameters, lambda held: [held.loss(make_data()).item() for _ in range(3)])
    assert found == [problem.evaluate(parameters, make_data())[1].item()] * 3
    assert model.kept is kept
    assert model.count is count is model.other.same
    assert count == 0
    assert not hasattr(model, "new")


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, 12), nn.Linear(12, 3)
        self.body = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(self.stem(inputs).reshape(-1, 3, 4)).flatten(1))


def problems() -> list[Problem]:
    torch.manual_seed(0)
    linear = nn.Linear(5, 3)

    def reading(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets) + 0.1 * linear.weight.square().sum()

    normed = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).eval()
    inputs, targets = make_data()
    return [
        Problem(normed, nn.CrossEntropyLoss(), make_data(), name="BatchNorm"),
        Problem(Checkpointed(5, 6), nn.CrossEntropyLoss(), make_data(), name="a checkpointed block"),
        Problem(Attending(), nn.CrossEntropyLoss(), make_data(), name="attention"),
        Problem(Tied(5), nn.CrossEntropyLoss(), make_data(), name="tied weights"),
        Problem(linear, reading, make_data(), name="a loss that reads the model"),
        Problem(normed, nn.CrossEntropyLoss(), make_data(), parameters="2.*", name="a part of the model"),
        Problem(
            linear,
            nn.CrossEntropyLoss(),
            [{"x": inputs, "y": targets}],
            forward=lambda model, batch: model(batch["x"]).tanh(),
            targets=lambda batch: batch["y"],
            name="forward and targets",
        ),
    ]


@pytest.mark.parametrize("problem", problems(), ids=lambda problem: problem.name)
def test_losses_and_gradients_are_those_of_single_batches(problem: Problem) -> None:
    batch, _ = next(problem.batches())
    parameters = leaves_of(problem)

    def walk(held: HeldModel) -> None:
        for _ in range(3):
            loss = held.loss(batch)
            values = {name: value.detach().clone() for name, value in parameters.items()}
            held.backward(loss)
            found = torch.cat([value.grad.reshape(-1) for value in parameters.values()])
            seen.append((values, loss.item(), found))
            with torch.no_grad():
                for value in parameters.values():
                    value.sub_(value.grad)
                    value.grad = None

    seen: list[tuple[Parameters, float, Tensor]] = []
    before = problem.parameters_vector()
    problem.hold(parameters, walk)
    assert torch.equal(problem.parameters_vector(), before)
    assert len({loss for _, loss, _ in seen}) == 3
    for values, loss, gradient in seen:
        assert loss == problem.evaluate(values, batch)[1].item()
        assert torch.equal(gradient, problem.batch_gradient(values, batch))


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_the_model_is_the_users_again_when_the_work_raises(kind: type[BaseException]) -> None:
    model = Remembering("in place")
    problem = Problem(model, nn.CrossEntropyLoss(), make_data())
    before = dict(model.named_parameters()) | dict(model.named_buffers())
    values = {name: tensor.detach().clone() for name, tensor in before.items()}

    def work(held: HeldModel) -> None:
        held.backward(held.loss(make_data()))
        raise kind

    with pytest.raises(kind):
        problem.hold(leaves_of(problem), work)
    for name, tensor in (dict(model.named_parameters()) | dict(model.named_buffers())).items():
        assert tensor is before[name]
        assert torch.equal(tensor, values[name])
        assert tensor.grad is None


def test_other_threads_wait_for_the_model() -> None:
    torch.manual_seed(0)
    problem = Problem(nn.Linear(5, 3), nn.CrossEntropyLoss(), make_data())
    expected, found = problem.loss_at(), []
    reader = threading.Thread(target=lambda: found.append(problem.loss_at()))

    def work(held: HeldModel) -> None:
        reader.start()
        reader.join(0.2)
        assert not found

    problem.hold(leaves_of(problem), work)
    reader.join()
    assert found == [expected]


def test_callers_in_inference_mode_get_the_same_numbers() -> None:
    torch.manual_seed(0)
    problem = Problem(Remembering("in place"), nn.CrossEntropyLoss(), make_data())
    parameters = leaves_of(problem)
    with torch.inference_mode():
        found = problem.hold(parameters, lambda held: held.loss(make_data()).item())
    assert found == problem.evaluate(parameters, make_data())[1].item()


class FirstSeen(nn.Module):
    """Fills a buffer that is None with what it sees first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.register_buffer("mean", None)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.mean is None:
            self.mean = inputs.mean(0)
        return self.layer(inputs - self.mean)


def test_a_buffer_that_was_none_is_so_for_each_loss() -> None:
    model = FirstSeen()
    problem = Problem(model, nn.CrossEntropyLoss(), make_data())
    model.mean = None
    inputs, targets = make_data()
    alone = problem.hold(problem.parameters(), lambda held: held.loss((inputs, targets)).item())
    model.mean = None
    after = problem.hold(
        problem.parameters(),
        lambda held: [held.loss(batch).item() for batch in ((inputs + 1, targets), (inputs, targets))],
    )
    assert after[1] == alone


@pytest.mark.parametrize("wanted", [True, False])
def test_graphs_are_made_where_the_caller_wants_them(wanted: bool) -> None:
    problem = Problem(nn.Linear(5, 3), nn.CrossEntropyLoss(), make_data())
    with torch.set_grad_enabled(wanted):
        loss = problem.hold(leaves_of(problem), lambda held: held.loss(make_data()))
    assert loss.requires_grad == wanted
