"""Descriptions of problems against counting by hand, and against closed forms."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import beta, norm, t
from sklearn.metrics import r2_score
from torch import Tensor, nn

import workbench as wb
from workbench.inspection import ProblemDescription, describe_problem
from workbench.inspection.scores import _cluster_interval, _Explained


def batches(inputs: Tensor, targets: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(inputs.split(size), targets.split(size), strict=True))


@pytest.fixture
def classifier() -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).eval()
    targets = torch.tensor([0] * 12 + [1] * 6 + [2] * 2)
    return wb.Problem(model, nn.CrossEntropyLoss(), batches(torch.randn(20, 4), targets, 8), name="three")


def test_model_and_data_are_counted(classifier: wb.Problem) -> None:
    found = describe_problem(classifier.restrict("3.*"))
    assert (found.examples, found.batches) == (20, 3)
    assert (found.inputs, found.outputs, found.targets) == ("float32 8 × 4", "float32 8 × 3", "int64 8")
    assert found.layers == ("0", "1", "3")
    assert found.kinds == ("Linear", "BatchNorm1d", "Linear")
    assert found.shapes[0] == "weight 5 × 4, bias 5"
    assert list(found.counts) == [25, 10, 18]
    assert list(found.selected) == [0, 0, 18]
    assert (found.parameters, found.frozen, found.buffers) == (53, 35, 11)
    assert list(found.frame()["parameters"]) == [25, 10, 18]
    assert found.loss == "CrossEntropyLoss"
    assert found.gradients == pytest.approx(1 / 3)


def test_loss_accuracy_and_classes_of_a_classifier(classifier: wb.Problem) -> None:
    inputs, targets = (torch.cat(parts) for parts in zip(*(b for b, _ in classifier.batches()), strict=True))
    with torch.no_grad():
        logits = classifier.model(inputs)
    hits = int((logits.argmax(1) == targets).sum())
    found = describe_problem(classifier)
    assert found.data.loss == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-6)
    assert (found.data.metric, found.data.value) == ("accuracy", hits / 20)
    assert found.data.low == pytest.approx(beta.ppf(0.025, hits, 21 - hits))
    assert found.data.high == pytest.approx(beta.ppf(0.975, hits + 1, 20 - hits))
    assert list(found.data.class_counts) == [12, 6, 2]
    assert (found.data.imbalance, found.data.majority) == (6, 0.6)
    shares = (0.6, 0.3, 0.1)
    assert found.chance == pytest.approx(-sum(p * math.log(p) for p in shares), rel=1e-6)


def test_held_out_data_has_a_score_of_its_own(classifier: wb.Problem) -> None:
    inputs, targets = torch.randn(10, 4), torch.arange(10) % 3
    found = describe_problem(classifier.with_metrics({"test_accuracy": 0.5}), (inputs, targets))
    assert found.held_out is not None
    with torch.no_grad():
        expected = F.cross_entropy(classifier.model(inputs), targets).item()
    assert found.held_out.loss == pytest.approx(expected, rel=1e-6)
    assert list(found.held_out.class_counts) == [4, 3, 3]
    assert found.gradients == pytest.approx((1 + 10 / 20) / 3)
    assert "held out: loss" in found.summary()
    own = describe_problem(classifier.with_metrics({"test_accuracy": 0.5}))
    assert "the problem's own figures: test_accuracy 0.5" in own.summary()


def test_r2_is_that_of_scikit_learn() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(40, 4).double()
    targets = inputs[:, :2] + 0.3 * torch.randn(40, 2).double() + torch.tensor([5.0, -2.0])
    model = nn.Linear(4, 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.eye(4)[:2])
        model.bias.copy_(torch.tensor([5.1, -2.0]))
    found = describe_problem(wb.Problem(model, nn.MSELoss(), batches(inputs, targets, 15)))
    with torch.no_grad():
        expected = r2_score(targets, model(inputs), multioutput="variance_weighted")
    assert (found.data.metric, found.data.targets) == ("R²", 80)
    assert found.data.value == pytest.approx(expected, rel=1e-9)
    assert found.data.low < expected < found.data.high
    assert found.chance == pytest.approx(targets.var(0, correction=0).mean().item(), rel=1e-6)


def test_intervals_of_r2_hold_the_truth() -> None:
    """Errors of variance 1/4 beside targets of variance 1: R² = 3/4."""
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(300):
        targets = torch.randn(80, 1, generator=generator).double()
        outputs = targets + 0.5 * torch.randn(80, 1, generator=generator).double()
        tally = _Explained(targets.mean(0))
        tally.add(outputs, targets, 80)
        found = tally.result()
        held += found.low <= 0.75 <= found.high
    assert held >= 300 * 0.91


def test_intervals_of_shares_whose_targets_come_together_hold_the_truth() -> None:
    """Examples of 20 targets, hit with a probability of their own; as if independent, they are too narrow."""
    rng = np.random.default_rng(0)
    kept = np.full(40, 20.0)
    held = narrow = 0
    for _ in range(500):
        hits = rng.binomial(20, rng.beta(4.5, 0.5, 40)).astype(float)
        low, high = _cluster_interval(hits, kept)
        held += low <= 0.9 <= high
        share = hits.sum() / 800
        narrow += abs(share - 0.9) <= 1.96 * math.sqrt(share * (1 - share) / 800)
    assert held >= 500 * 0.93
    assert narrow < 500 * 0.8


def test_intervals_of_few_examples_of_unequal_lengths_hold_the_truth() -> None:
    """Ten examples of 1 to 39 targets; without Student's factor, 88 % hold it."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        kept = rng.integers(1, 40, 10).astype(float)
        hits = rng.binomial(kept.astype(int), rng.beta(4.5, 0.5, 10)).astype(float)
        low, high = _cluster_interval(hits, kept)
        held += low <= 0.9 <= high
    assert held >= 1000 * 0.905


def test_examples_that_are_hit_alike_count_by_their_lengths() -> None:
    """All hit: as many as examples of equal length would have the same variance, with Student's factor."""
    kept = np.array([90.0, 5.0, 5.0])
    runs = 100**2 / (90**2 + 2 * 5**2) * (norm.ppf(0.975) / t.ppf(0.975, 2)) ** 2
    low, high = _cluster_interval(kept, kept)
    assert low == pytest.approx(beta.ppf(0.025, runs, 1))
    assert high == 1


@pytest.mark.parametrize("order", ["torch", "flattened", "last"])
def test_targets_of_every_position_are_read_in_any_order(order: str) -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

        def forward(self, tokens: Tensor) -> Tensor:
            logits = self.head(self.embed(tokens))
            return {"torch": logits.transpose(1, 2), "flattened": logits.flatten(0, 1), "last": logits}[order]

    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=-100)

    torch.manual_seed(0)
    tokens = torch.randint(0, 7, (6, 7))  # as many positions as classes
    targets = tokens.roll(-1, 1)
    targets[:, -1] = -100
    model = Positions()
    loss = nn.CrossEntropyLoss() if order == "torch" else own
    found = describe_problem(wb.Problem(model, loss, batches(tokens, targets, 3)))
    with torch.no_grad():
        right = model.head(model.embed(tokens)).argmax(-1) == targets
    assert found.data.metric == "accuracy"
    assert (found.data.examples, found.data.targets) == (6, 36)
    assert found.data.value == pytest.approx(right.sum().item() / 36)
    assert found.data.class_counts.sum() == 36


def test_a_loss_that_shifts_its_targets_has_no_accuracy() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.embed(tokens))

    def shifted(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs[:, :-1].flatten(0, 1), targets[:, 1:].flatten())

    tokens = torch.randint(0, 7, (8, 5), generator=torch.Generator().manual_seed(0))
    found = describe_problem(wb.Problem(Language(), shifted, (tokens, tokens)))
    assert found.data.metric == ""
    assert "does not read these outputs as scores of these classes" in found.summary()


class Table(nn.Module):
    """Scores of each next token, looked up by the token."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scores = nn.Embedding(classes, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scores(tokens)


def left_out(problem: wb.Problem) -> str:
    found = describe_problem(problem)
    assert found.data.metric == ""
    return found.data.left_out["accuracy or R²"]


@pytest.mark.parametrize("last", [8, 3])
def test_a_loss_that_shifts_is_found_with_many_classes_and_padding(last: int) -> None:
    """With many classes a score of 10 is not sure; with padding most places are right when shifted."""

    def shifted(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs[:, :-1].flatten(0, 1), targets[:, 1:].flatten())

    tokens = torch.randint(1, 3000, (2, 8), generator=torch.Generator().manual_seed(0))
    tokens[:, last:] = 0
    assert "place by place" in left_out(wb.Problem(Table(3000), shifted, (tokens, tokens)))


def test_targets_that_a_loss_of_ones_own_leaves_out_are_noticed() -> None:
    def ignoring(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=0)

    tokens = torch.tensor([[1, 2, 3, 0, 0], [4, 1, 0, 0, 0]])
    problem = wb.Problem(
        Table(5), ignoring, (tokens, tokens), weight=lambda batch: float((batch[1] > 0).sum())
    )
    assert left_out(problem) == "the loss leaves out 5 targets of a batch, such as 0"


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_losses_of_ones_own_on_probabilities_or_smoothed_have_an_accuracy(smoothing: float) -> None:
    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        if smoothing:
            return F.cross_entropy(outputs, targets, label_smoothing=smoothing)
        return -outputs.gather(1, targets[:, None]).log().mean()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 2), nn.Identity() if smoothing else nn.Softmax(1))
    x, y = torch.randn(30, 4), torch.arange(30) % 2
    with torch.no_grad():
        right = (model(x).argmax(1) == y).float().mean().item()
    found = describe_problem(wb.Problem(model, own, (x, y))).data
    assert (found.metric, found.value) == ("accuracy", pytest.approx(right))


def test_the_inputs_of_an_autoencoder_are_described() -> None:
    x = torch.randn(6, 4)
    assert describe_problem(wb.Problem(nn.Linear(4, 4), nn.MSELoss(), (x, x))).inputs.startswith(
        "float32 6 × 4"
    )


def test_outputs_in_a_dictionary_have_an_accuracy() -> None:
    class Named(nn.Linear):
        def forward(self, input: Tensor) -> Any:
            return {"logits": super().forward(input)}

    torch.manual_seed(0)
    model, x, y = Named(4, 3), torch.randn(30, 4), torch.arange(30) % 3
    problem = wb.Problem(model, lambda outputs, targets: F.cross_entropy(outputs["logits"], targets), (x, y))
    with torch.no_grad():
        right = (model(x)["logits"].argmax(1) == y).float().mean().item()
    found = describe_problem(problem).data
    assert (found.metric, found.value) == ("accuracy", pytest.approx(right))


def test_integers_under_a_binary_loss_of_ones_own_are_bits() -> None:
    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs[:, 0], targets.float())

    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 1), torch.randn(30, 4), torch.arange(30) % 2
    with torch.no_grad():
        right = ((model(x)[:, 0] > 0) == (y > 0)).float().mean().item()
    found = describe_problem(wb.Problem(model, own, (x, y))).data
    assert (found.metric, found.value) == ("accuracy", pytest.approx(right))
    shifted = wb.Problem(model, lambda o, t: own(o[1:], t[:-1]), (x, y.sort().values), weight="batch")
    assert "as these bits, place by place" in left_out(shifted)


def test_binary_targets_have_an_accuracy_and_soft_ones_none() -> None:
    torch.manual_seed(0)
    inputs, model = torch.randn(30, 4), nn.Linear(4, 2)
    bits = torch.randint(0, 2, (30, 2)).float()
    with torch.no_grad():
        right = ((model(inputs) > 0) == (bits > 0.5)).float().mean().item()
    found = describe_problem(wb.Problem(model, nn.BCEWithLogitsLoss(), (inputs, bits)))
    assert found.data.value == pytest.approx(right)
    assert list(found.data.class_counts) == [int((bits == 0).sum()), int((bits == 1).sum())]
    soft = describe_problem(wb.Problem(model, nn.BCEWithLogitsLoss(), (inputs, bits * 0.8 + 0.1)))
    assert "the targets are probabilities" in soft.summary()


def two_losses(outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
    return sum(F.mse_loss(outputs[name], targets[name]) for name in targets)  # type: ignore[return-value]


def test_what_does_not_apply_is_left_out_with_a_reason() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 1), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"one": self.one(x), "two": self.two(x)}

    data = [(torch.randn(5, 4), {"one": torch.randn(5, 1), "two": torch.randn(5, 2)})]
    found = describe_problem(wb.Problem(Heads(), two_losses, data))
    assert found.data.left_out["accuracy or R²"] == "there are 2 tensors of outputs and 2 of targets"
    assert "chance loss" in found.left_out
    assert math.isnan(found.chance)
    assert math.isnan(found.data.imbalance)
    found.plot()
    found.plot_classes()


def test_a_loss_that_is_not_least_at_the_targets_has_no_r2() -> None:
    def opposite(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs + targets).square().mean()

    torch.manual_seed(0)
    problem = wb.Problem(nn.Linear(4, 3), opposite, (torch.randn(20, 4), 5 * torch.randn(20, 3)))
    assert "not least where the outputs are the targets" in describe_problem(problem).summary()


def test_targets_that_have_no_metric_say_so() -> None:
    inputs, model = torch.randn(6, 4), nn.Linear(4, 1)
    same = describe_problem(wb.Problem(model, nn.MSELoss(), (inputs, torch.ones(6, 1))))
    assert same.data.left_out == {"accuracy or R²": "no target counts, or all are the same"}

    def logistic(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.softplus(-(2 * targets - 1) * outputs).mean()

    counts = torch.tensor([0.0, 1.0, 1.0, 3.0, 0.0, 2.0])[:, None]
    found = describe_problem(wb.Problem(model, logistic, batches(inputs, counts, 3)))
    assert "something else in another" in found.summary()

    class Energy(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).sum()

    alone = [(torch.randn(5, 4), torch.tensor(1.0)), (torch.randn(5, 4), torch.tensor(2.0))]
    found = describe_problem(wb.Problem(Energy(4, 1), nn.MSELoss(), alone, weight="batch"))
    assert "one number for all examples" in found.summary()
    assert found.data.loss > 0


def test_a_result_is_saved_and_drawn(classifier: wb.Problem, tmp_path: Path) -> None:
    found = describe_problem(classifier, (torch.randn(10, 4), torch.arange(10) % 3))
    again: Any = wb.load_result(found.save(tmp_path / "found.npz"))
    assert isinstance(again, ProblemDescription)
    assert again.summary() == found.summary()
    assert [patch.get_width() for patch in found.plot().patches] == [25, 10, 18]
    heights = [patch.get_height() for patch in found.plot_classes().patches]
    np.testing.assert_allclose(heights, [0.6, 0.3, 0.1, 0.4, 0.3, 0.3])
    assert found.data.plot().patches[0].get_height() == 0.6


def test_many_classes_are_drawn_in_the_order_of_their_shares() -> None:
    inputs, targets = torch.randn(90, 4), torch.arange(90).clamp(max=80)
    found = describe_problem(wb.Problem(nn.Linear(4, 100), nn.CrossEntropyLoss(), (inputs, targets)))
    shares = np.asarray(found.plot_classes().lines[0].get_ydata(), dtype=float)
    assert shares[0] == pytest.approx(10 / 90)
    assert len(shares) == 100
    assert "19 without a target" in found.summary()


def test_losses_of_ones_own_may_drop_a_dimension_or_mean_bits() -> None:
    torch.manual_seed(0)
    inputs, model = torch.randn(30, 4), nn.Linear(4, 1)
    values = inputs[:, 0] + 0.1

    def squares(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.squeeze(1) - targets).square().mean()

    found = describe_problem(wb.Problem(model, squares, (inputs, values)))
    with torch.no_grad():
        assert found.data.value == pytest.approx(r2_score(values, model(inputs)[:, 0]), rel=1e-5)

    def logistic(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.softplus(-(2 * targets - 1) * outputs.squeeze(1)).mean()

    bits = (values > 0).float()
    found = describe_problem(wb.Problem(model, logistic, (inputs, bits)))
    with torch.no_grad():
        right = ((model(inputs)[:, 0] > 0) == (bits > 0.5)).float().mean().item()
    assert (found.data.metric, found.data.value) == ("accuracy", pytest.approx(right))
    found = describe_problem(wb.Problem(model, squares, (inputs, bits)))
    assert found.data.metric == "R²"


def test_a_bare_layer_is_one_layer_of_its_kind() -> None:
    found = describe_problem(
        wb.Problem(nn.Linear(4, 2), nn.MSELoss(), (torch.randn(9, 4), torch.randn(9, 2)))
    )
    assert found.kinds == ("Linear",)
    assert found.shapes == ("weight 2 × 4, bias 2",)
    assert list(found.counts) == [10]
