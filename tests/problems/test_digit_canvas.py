"""``digit-canvas``: what its measures count, and that a short training learns."""

import pytest
import torch
from torch import nn

from workbench.problems import load_problem
from workbench.problems.canvases import draw_canvases
from workbench.problems.digit_canvas import canvases_right, classes_right


def test_measures() -> None:
    logits = torch.tensor([[1.0, -1, 2], [1, 1, -1], [-3, -1, -2]])
    targets = torch.tensor([[1.0, 0, 1], [1, 0, 0], [0, 0, 1]])
    assert classes_right(logits, targets).item() == pytest.approx(7 / 9)
    assert canvases_right(logits, targets).item() == pytest.approx(1 / 3)


def test_the_problem_holds_the_first_canvases_and_ends_in_a_mean_and_a_linear_layer() -> None:
    problem = load_problem("digit-canvas", width=1, epochs=0, shown=70, split="test")
    drawn = draw_canvases("test", 70)
    assert [len(targets) for (_, targets), _ in problem.batches()] == [64, 6]
    with torch.no_grad():
        logits = problem.model(drawn.images)
        maps = problem.model[:5](drawn.images)
        assert maps.shape == (70, 4, 12, 12)
        torch.testing.assert_close(problem.model.output(maps.mean((2, 3))), logits)
    expected = nn.functional.binary_cross_entropy_with_logits(logits, drawn.targets)
    assert problem.loss_at() == pytest.approx(expected.item(), rel=1e-5)
    assert set(problem.metrics) == {
        f"{split}_{name}"
        for split in ("train", "test")
        for name in ("loss", "classes_right", "canvases_right")
    }


@pytest.mark.slow
def test_it_reaches_its_accuracy() -> None:
    problem = load_problem("digit-canvas")
    assert problem.metrics["test_classes_right"] >= 0.97
    assert problem.metrics["test_canvases_right"] >= 0.75
