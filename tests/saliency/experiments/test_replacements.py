"""Replacing characters: effects of a model whose logits are known, and the table made of them."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.saliency.experiments import text_evidence
from workbench.saliency.experiments.replacements import METRIC, RECENCY, replacement_effects


class Counts(nn.Module):
    """The logit of class 0 at any position is the code at place 2 and twice that at place 0."""

    def forward(self, codes):
        logits = torch.zeros(len(codes), 5, codes.shape[1])
        logits[:, 0] = (2 * codes[:, 0] + codes[:, 2]).float()[:, None]
        return logits


def test_effects_are_those_of_the_characters_that_count():
    codes = torch.tensor([[0, 3, 0, 1], [4, 1, 4, 2]])
    effects = replacement_effects(Counts(), codes, torch.tensor([0, 0]), 2000, 0)
    assert torch.equal(effects[:, [1, 3]], torch.zeros(2, 2))
    expected = torch.tensor([[5.0, 2.5], [5.0, 2.5]])  # from 0 or 4, others are 2.5 away in the mean
    assert torch.allclose(effects[:, [0, 2]], expected, atol=0.15)


def test_effects_are_drawn_by_seed():
    codes = torch.tensor([[0, 3, 2, 1]])
    first, again, other = (
        replacement_effects(Counts(), codes, torch.tensor([0]), 2, seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_table_has_the_usual_methods_and_a_floor():
    writer = wb.load_problem("text-gpt", epochs=0, width=16, blocks=1, context=8)
    found = text_evidence(writer, 3, replacements=2)
    assert list(found.evidence) == ["gradient_norm", "gradient_times_input", "norm_grad", RECENCY]
    assert found.floors == (RECENCY,)
    assert found.metrics == (METRIC,)
    assert all(each[METRIC].n == 3 for each in found.evidence.values())
    found.plot().figure.canvas.draw()
    with pytest.raises(ValueError, match="texts=0"):
        text_evidence(writer, 0)
