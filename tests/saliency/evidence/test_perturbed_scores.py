"""Scores of perturbed inputs against one call for each, within the bound on memory."""

import pytest
import torch
from evidence_cases import Counted, Interrupted, images, network
from torch import Tensor

from workbench.saliency.evidence.budget import rows_at_once
from workbench.saliency.evidence.perturbed_scores import perturbed_scores

X, Y = images(5), torch.tensor([0, 1, 2, 0, 1])


def scaled(samples: Tensor, versions: Tensor) -> Tensor:
    return X[samples] * (1 + versions.double())[:, None, None, None]


@pytest.mark.parametrize("score", ["probability", "logit", "loss", "accuracy"])
@pytest.mark.parametrize("memory", [1, 20_000, None])
def test_every_version_of_every_input(score: str, memory: int | None) -> None:
    model = network()
    found = perturbed_scores(model, X, Y, 3, scaled, score=score, memory=memory)
    for i in range(5):
        for j in range(3):
            logits = model(X[i : i + 1] * (1 + j))[0]
            expected = {
                "probability": logits.softmax(0)[Y[i]], "logit": logits[Y[i]],
                "loss": logits.log_softmax(0)[Y[i]], "accuracy": (logits.argmax() == Y[i]).double(),
            }[score]  # fmt: skip
            assert found[i, j].item() == pytest.approx(expected.item(), rel=1e-12, abs=1e-12)


def test_samples_and_versions_share_batches_of_what_the_memory_holds() -> None:
    model = Counted(network())
    rows = rows_at_once(model, X, 20_000)
    assert 1 < rows < 15
    model.rows.clear()
    perturbed_scores(model, X, Y, 3, scaled, score="logit", memory=20_000)
    assert model.rows[0] == 1  # the one input that is measured
    assert max(model.rows) == rows
    assert len(model.rows) == 1 + -(-15 // rows)


def test_an_interrupt_keeps_whole_samples() -> None:
    found = perturbed_scores(Interrupted(network(), 1 + 7), X, Y, 3, scaled, score="logit", memory=1)
    expected = perturbed_scores(network(), X, Y, 3, scaled, score="logit")
    torch.testing.assert_close(found, expected[:2])
    with pytest.raises(KeyboardInterrupt):
        perturbed_scores(Interrupted(network(), 1 + 2), X, Y, 3, scaled, score="logit", memory=1)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'probability'"):
        perturbed_scores(network(), X, Y, 3, scaled, score="probabilty")
