"""The loss and gradient over unequal batches are those of the joined data, whatever the mean is over."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from workbench import Problem
from workbench.weighting import find_weighting

CLASSES = 4
CLASS_WEIGHTS = torch.tensor([0.2, 3.0, 1.0, 0.5], dtype=torch.float64)


def classification_data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, CLASSES, (30,), generator=generator)
    return inputs, targets


def cases():
    inputs, labels = classification_data()
    ignored = labels.clone()
    ignored[3:19] = -100  # the first batch keeps 3 of 20
    probabilities = torch.softmax(torch.randn(30, CLASSES, dtype=torch.float64), 1)
    values = torch.randn(30, CLASSES, dtype=torch.float64)
    bits = (values > 0).double()
    return {
        "cross entropy": (nn.CrossEntropyLoss(), inputs, labels),
        "ignored targets": (nn.CrossEntropyLoss(), inputs, ignored),
        "another ignored index": (nn.CrossEntropyLoss(ignore_index=2), inputs, labels),
        "class weights": (nn.CrossEntropyLoss(weight=CLASS_WEIGHTS), inputs, labels),
        "class weights and ignored": (nn.CrossEntropyLoss(weight=CLASS_WEIGHTS), inputs, ignored),
        "label smoothing": (nn.CrossEntropyLoss(weight=CLASS_WEIGHTS, label_smoothing=0.2), inputs, labels),
        "class probabilities": (nn.CrossEntropyLoss(), inputs, probabilities),
        "summed cross entropy": (nn.CrossEntropyLoss(reduction="sum"), inputs, labels),
        "a function": (F.cross_entropy, inputs, ignored),
        "a partial": (functools.partial(F.cross_entropy, weight=CLASS_WEIGHTS), inputs, ignored),
        "a summed partial": (functools.partial(F.mse_loss, reduction="sum"), inputs, values),
        "squared error": (nn.MSELoss(), inputs, values),
        "summed squared error": (nn.MSELoss(reduction="sum"), inputs, values),
        "Huber": (nn.HuberLoss(), inputs, values),
        "binary": (nn.BCEWithLogitsLoss(), inputs, bits),
        "multi-label": (nn.MultiLabelSoftMarginLoss(), inputs, bits),
        "half the squared norm": (lambda o, t: 0.5 * (o - t).square().sum(1).mean(), inputs, values),
    }


@pytest.mark.parametrize("case", cases())
def test_unequal_batches_give_the_gradient_of_the_joined_data(case):
    loss, inputs, targets = cases()[case]
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, CLASSES)).double()
    data = [(inputs[:20], targets[:20]), (inputs[20:23], targets[20:23]), (inputs[23:], targets[23:])]
    problem = Problem(model, loss, data)
    value = loss(model(inputs), targets)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])
    assert problem.loss_at() == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(problem.gradient(), expected, rtol=1e-10, atol=1e-12)


def test_a_batch_whose_targets_are_all_ignored_is_left_out():
    inputs, targets = classification_data()
    targets = targets.clone()
    targets[20:] = -100
    model = nn.Linear(5, CLASSES).double()
    problem = Problem(
        model, nn.CrossEntropyLoss(), [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]
    )
    assert problem.loss_at() == pytest.approx(F.cross_entropy(model(inputs), targets).item(), rel=1e-12)


def masked_mean(outputs, targets):
    kept = targets >= 0
    return F.cross_entropy(outputs[kept], targets[kept])


def test_a_mean_over_something_else_is_refused_and_weight_mends_it():
    inputs, targets = classification_data()
    targets = targets.clone()
    targets[2:15] = -1
    data = [(inputs[:25], targets[:25]), (inputs[25:], targets[25:])]
    model = nn.Linear(5, CLASSES).double()
    with pytest.raises(ValueError, match=r"off by \d+.*weight=lambda batch"):
        Problem(model, masked_mean, data)
    problem = Problem(model, masked_mean, data, weight=lambda batch: (batch[1] >= 0).sum())
    assert problem.loss_at() == pytest.approx(masked_mean(model(inputs), targets).item(), rel=1e-12)


def test_a_wrong_mean_is_seen_behind_a_layer_of_zeros():
    inputs, targets = classification_data()
    targets = targets.clone()
    targets[2:15] = -1
    model = nn.Linear(5, CLASSES).double()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    with pytest.raises(ValueError, match="weight=lambda batch"):
        Problem(model, masked_mean, (inputs, targets))


def test_a_sum_is_refused_unless_said():
    inputs, targets = classification_data()
    loss = lambda outputs, labels: F.cross_entropy(outputs, labels, reduction="sum")  # noqa: E731
    model = nn.Linear(5, CLASSES).double()
    data = [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]
    with pytest.raises(ValueError, match="weight='sum'"):
        Problem(model, loss, data)
    total = loss(model(inputs), targets).item()
    assert Problem(model, loss, data, weight="sum").loss_at() == pytest.approx(total, rel=1e-12)


def contrastive(outputs, targets):
    return F.cross_entropy(outputs @ outputs.T, torch.arange(len(outputs)))


def test_a_loss_that_does_not_decompose_needs_to_be_told():
    inputs, targets = classification_data()
    model = nn.Linear(5, CLASSES).double()
    data = [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]
    with pytest.raises(ValueError, match="weight='batch'"):
        Problem(model, contrastive, data)
    problem = Problem(model, contrastive, data, weight="batch")
    expected = (contrastive(model(inputs[:20]), None) + contrastive(model(inputs[20:]), None)) / 2
    assert problem.loss_at() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [("examples", ValueError, "'batch', 'sum'"), (3, TypeError, "function of a batch")],
)
def test_unknown_weights_are_refused(weight, error, words):
    with pytest.raises(error, match=words):
        find_weighting(nn.MSELoss(), weight)


def test_no_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction='none'"):
        find_weighting(nn.MSELoss(reduction="none"), None)


def test_a_subclass_with_its_own_forward_is_not_taken_for_its_base():
    class Mine(nn.CrossEntropyLoss):
        def forward(self, outputs, targets):
            return super().forward(outputs, targets)

    assert find_weighting(Mine(), None).rule == "the number of examples"


def test_targets_in_bytes_find_their_class_weights():
    torch.manual_seed(0)
    model, inputs, targets = nn.Linear(4, 3), torch.randn(9, 4), torch.arange(9).byte() % 3
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0]))
    problem = Problem(model, loss, [(inputs[:7], targets[:7]), (inputs[7:], targets[7:])])
    assert problem.loss_at() == pytest.approx(loss(model(inputs), targets.long()).item(), rel=1e-6)


def test_shapes_that_are_spread_are_named():
    with pytest.raises(ValueError, match=r"shape \(9, 1\) and the targets \(9,\)"):
        Problem(nn.Linear(4, 1), lambda o, y: (o - y).square().mean(), (torch.randn(9, 4), torch.randn(9)))


def test_a_batch_that_cannot_be_split_needs_a_weight():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, nodes, edges):
            return self.layer(nodes.index_add(0, edges[0], nodes[edges[1]]))

    batch = (torch.randn(9, 4), torch.tensor([[0, 8], [8, 1]]), torch.arange(9) % 3)
    with pytest.raises(ValueError, match=r"on a part of a batch.*pass weight="):
        Problem(Graph(), nn.CrossEntropyLoss(), [batch])
    assert Problem(Graph(), nn.CrossEntropyLoss(), [batch], weight=lambda b: len(b[0])).loss_at() > 0


def test_targets_that_are_flattened_to_tokens():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)).double()
    tokens = torch.randint(0, 7, (6, 5))
    labels = tokens.roll(-1, 1).clone()
    labels[:4, 2:] = -100
    batches = [{"x": tokens[:4], "y": labels[:4]}, {"x": tokens[4:], "y": labels[4:]}]
    problem = Problem(
        model,
        nn.CrossEntropyLoss(),
        batches,
        forward=lambda m, batch: m(batch["x"]).flatten(0, 1),
        targets=lambda batch: batch["y"].flatten(),
    )
    expected = F.cross_entropy(model(tokens).flatten(0, 1), labels.flatten()).item()
    assert problem.loss_at() == pytest.approx(expected, rel=1e-12)
