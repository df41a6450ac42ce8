"""The counterfactual's goal and constraints are what its formula says."""

import pytest
import torch

import workbench as wb
from workbench.particles.attacks import counterfactual, direct_search


@pytest.fixture(scope="module")
def digits():
    return wb.load_problem("digits-mlp", epochs=1)


def test_goal_and_violation_are_the_formula(digits) -> None:
    surrogate = counterfactual(digits, 3, 5, weight=0.25, farthest=1.5)
    ((images, _), _) = next(digits.batches())
    points = torch.rand(4, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = (points - images[3].double().flatten()).square().sum(1)
    with torch.no_grad():
        logits = digits.model(points.float().reshape(-1, 1, 8, 8)).double()
    found = surrogate.evaluate(points)
    torch.testing.assert_close(found.goal, logits.log_softmax(1)[:, 5] - 0.25 * moved, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.violation, (moved - 2.25).clamp_min(0).square())


def test_a_search_reaches_the_class_within_the_box(digits) -> None:
    surrogate = counterfactual(digits, 0, 8, weight=0.05)
    before = surrogate.network(surrogate.start[None])[0, 8].exp()
    path = direct_search(surrogate, "l2", evaluations=3000)
    after = surrogate.network(path.point[None])[0, :10]
    assert before < 0.5
    assert after.argmax() == 8
    assert path.feasible
    assert path.point.min() >= 0
    assert path.point.max() <= 1


def test_the_model_is_left_alone(digits) -> None:
    before = [p.clone() for p in digits.model.parameters()]
    surrogate = counterfactual(digits)
    direct_search(surrogate, evaluations=300)
    assert all(torch.equal(p, q) for p, q in zip(before, digits.model.parameters(), strict=True))
    assert all(p.requires_grad and p.dtype == torch.float32 for p in digits.model.parameters())


@pytest.mark.parametrize("options", [{"example": 10**6}, {"target": 10}, {"weight": 0.0}, {"farthest": -1.0}])
def test_what_cannot_be_is_refused(digits, options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        counterfactual(digits, **options)
