"""Label randomisation on networks that are trained in the test."""

import numpy as np
import pytest
import torch
from evidence_cases import gradient_map
from torch import Tensor, nn

from workbench.random_vectors import generator
from workbench.saliency.evidence import centre_map, compare_maps, label_randomisation

# Class k is a bright row k.
LABELS = torch.arange(60) % 3
NOISE = torch.randn(60, 1, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
INPUTS = 0.3 * NOISE + nn.functional.one_hot(LABELS).double()[:, None, :, None]


def train(labels: Tensor) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 64), nn.Tanh(), nn.Linear(64, 3)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(INPUTS), labels).backward()
        optimizer.step()
    return model.eval()


def test_maps_are_compared_with_those_of_a_network_that_learned_permuted_labels() -> None:
    model, seen = train(LABELS), []

    def remember(labels: Tensor) -> nn.Module:
        seen.append(labels)
        return train(labels)

    found = label_randomisation(model, INPUTS, None, gradient_map, remember, LABELS, seed=2)
    (permuted,) = seen
    assert torch.equal(permuted, LABELS[torch.randperm(60, generator=generator(2))])
    classes = model(INPUTS).argmax(1)
    other = train(permuted)
    assert (other(INPUTS).argmax(1) == permuted).double().mean() > 0.95  # learned by heart
    expected = compare_maps(
        gradient_map(model, INPUTS, classes), gradient_map(other, INPUTS, classes), "spearman"
    )
    np.testing.assert_allclose(found.values, expected)
    assert abs(found.mean) < 0.5  # the gradient depends on what was learned
    assert f"{(permuted == LABELS).double().mean():.0%} stayed" in found.summary()


def test_a_map_without_the_model_stays_and_the_same_training_gives_1() -> None:
    model = train(LABELS)
    assert label_randomisation(model, INPUTS, 0, centre_map, train, LABELS).values == pytest.approx(1)
    same = label_randomisation(model, INPUTS, 0, gradient_map, lambda labels: train(LABELS), LABELS)
    assert same.values == pytest.approx(1)


def test_training_must_give_another_model() -> None:
    model = train(LABELS)
    with pytest.raises(ValueError, match="the model itself"):
        label_randomisation(model, INPUTS, 0, gradient_map, lambda labels: model, LABELS)
