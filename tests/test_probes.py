"""What would make the loss another function from one evaluation to the next is refused by name."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from workbench import Problem

INPUTS = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
TARGETS = torch.randint(0, 3, (24,), generator=torch.Generator().manual_seed(1))
LOSS = nn.CrossEntropyLoss()


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Dropout(0.5), r"dropout is active in 1 \(Dropout\).*model\.eval\(\)"),
        (nn.BatchNorm1d(6), r"1 \(BatchNorm1d\) is in train mode.*model\.eval\(\)"),
    ],
)
def test_training_mode_is_refused(layer, words):
    model = nn.Sequential(nn.Linear(5, 6), layer, nn.Linear(6, 3))
    with pytest.raises(ValueError, match=words):
        Problem(model, LOSS, (INPUTS, TARGETS))
    assert Problem(model.eval(), LOSS, (INPUTS, TARGETS)).loss_at() > 0


def test_dropout_of_probability_zero_is_harmless():
    model = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.0), nn.Linear(6, 3))
    assert Problem(model, LOSS, (INPUTS, TARGETS)).loss_at() > 0


def test_dropout_inside_attention_is_refused():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, dropout=0.1)

    with pytest.raises(ValueError, match=r"attention \(MultiheadAttention\)"):
        Problem(Attending(), LOSS, (INPUTS, TARGETS))


def test_a_random_module_is_found():
    class Noisy(nn.Module):
        def forward(self, inputs):
            return inputs + torch.randn_like(inputs)

    model = nn.Sequential(nn.Linear(5, 6), Noisy(), nn.Linear(6, 3)).eval()
    with pytest.raises(ValueError, match=r"changes between two evaluations .*first in 1 \(Noisy\)"):
        Problem(model, LOSS, (INPUTS, TARGETS))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_random_loss_is_found():
    def loss(outputs, targets):
        return F.cross_entropy(outputs + torch.randn_like(outputs), targets)

    with pytest.raises(ValueError, match="in the loss or the forward function"):
        Problem(nn.Linear(5, 3), loss, (INPUTS, TARGETS))


def test_a_shuffling_loader_is_refused():
    loader = DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=8, shuffle=True)
    with pytest.raises(ValueError, match="shuffle=False"):
        Problem(nn.Linear(5, 3), LOSS, loader)


class Augmenting(Dataset):
    """Noise on the examples from ``start`` on."""

    def __init__(self, start):
        self.start = start

    def __len__(self):
        return 24

    def __getitem__(self, index):
        noise = torch.randn(5) if index >= self.start else 0
        return INPUTS[index] + noise, TARGETS[index]


def test_random_augmentation_is_refused():
    with pytest.raises(ValueError, match="the first batch changes"):
        Problem(nn.Linear(5, 3), LOSS, DataLoader(Augmenting(0), batch_size=8))


def test_a_later_batch_that_changes_is_noticed_in_the_pass():
    problem = Problem(nn.Linear(5, 3), LOSS, DataLoader(Augmenting(10), batch_size=8))
    with pytest.raises(ValueError, match="batch 1 differs"):
        problem.loss_at()


class Batches:
    """A re-iterable that is neither a list nor a loader."""

    count = 2

    def __iter__(self):
        return iter([(INPUTS, TARGETS)] * self.count)


def test_missing_batches_are_noticed():
    data = Batches()
    problem = Problem(nn.Linear(5, 3), LOSS, data)
    problem.loss_at()
    data.count = 1
    with pytest.raises(ValueError, match="yields 1 batches, and 2 before"):
        problem.loss_at()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda outputs, targets: F.cross_entropy(outputs.detach(), targets), "does not depend"),
        (lambda outputs, targets: outputs, r"float32 tensor of shape \(24, 3\)"),
        (lambda outputs, targets: 1.0, "returns a float"),
        (lambda outputs, targets: F.cross_entropy(outputs, targets) * float("nan"), "the loss is nan"),
    ],
)
def test_an_unusable_loss_is_refused(loss, words):
    with pytest.raises(ValueError, match=words):
        Problem(nn.Linear(5, 3), loss, (INPUTS, TARGETS))


def test_batch_statistics_in_eval_mode_do_not_decompose():
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3))
    with pytest.raises(ValueError, match="weight='batch'"):
        Problem(model.eval(), LOSS, (INPUTS, TARGETS))


def test_spectral_normalisation_in_train_mode_is_refused():
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 6)), nn.Linear(6, 3))
    with pytest.raises(ValueError, match=r"_SpectralNorm\) is in train mode"):
        Problem(model, LOSS, (INPUTS, TARGETS))
    assert Problem(model.eval(), LOSS, (INPUTS, TARGETS)).loss_at() > 0


def test_an_embedding_that_rescales_itself_is_refused_untouched():
    model = nn.Sequential(nn.Embedding(5, 3, max_norm=0.1))
    before = model[0].weight.detach().clone()
    with pytest.raises(ValueError, match=r"0 \(Embedding\) with max_norm"):
        Problem(model, LOSS, (torch.arange(3), torch.arange(3)))
    assert torch.equal(model[0].weight, before)


def test_a_coarse_layer_beside_finer_ones_sets_the_tolerance():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.coarse, self.fine = nn.Linear(5, 6).bfloat16(), nn.Linear(6, 3)

        def forward(self, inputs):
            return self.fine(torch.tanh(self.coarse(inputs.bfloat16())).float())

    problem = Problem(Mixed(), LOSS, (INPUTS, TARGETS))
    assert problem.dtype == torch.float32
    assert problem.restrict("fine.*").coarsest_dtype == torch.bfloat16
