"""The edge of stability, small: the sharpness by other means, the level, and what is not counted."""

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.progress import listening
from workbench.stability.experiments import EdgeOfStability, edge_of_stability
from workbench.stability.experiments.digits_regression import class_regression, half_square

SMALL = {"seeds": (0,), "steps": 300, "every": 20, "examples": 200, "width": 10}


@pytest.fixture(scope="module")
def found() -> EdgeOfStability:
    return edge_of_stability((1.1, 5.0), **SMALL)


def test_sharpness_rises_to_two_over_eta_and_stays(found: EdgeOfStability) -> None:
    assert 0.95 <= found.time_means[0, 0] <= 1.15
    assert 0 < found.break_even[0, 0] < 200
    np.testing.assert_allclose(found.thresholds, 2 / found.learning_rates)


def test_a_run_that_never_breaks_even_is_reported_and_not_averaged(found: EdgeOfStability) -> None:
    assert np.isnan(found.time_means[1, 0])
    assert np.isnan(found.break_even[1, 0])
    assert "1 of 2 runs reached it, 1 never, 0 diverged" in found.summary()
    table = found.by_rate().set_index("ratio")
    assert table.loc[5.0, "reached"] == 0
    assert np.isnan(table.loc[5.0, "time_mean"])


def test_the_sharpness_is_that_of_the_dense_hessian() -> None:
    """Of the same training, repeated here by plain torch."""
    short = edge_of_stability((1.3,), **{**SMALL, "steps": 40, "width": 6})
    problem = class_regression(200, 6, 0)
    ((batch, _),) = problem.batches()
    inputs, targets = batch
    for number in range(3):
        dense = torch.linalg.eigvalsh(wb.curvature.hessian(problem).dense().double())[-1].item()
        assert short.sharpness[0, 0, number] == pytest.approx(dense, rel=2e-3)
        assert short.loss[0, 0, number] == pytest.approx(problem.loss_at(), rel=1e-6)
        for _ in range(20):
            loss = half_square(problem.model(inputs), targets)
            gradients = torch.autograd.grad(loss, list(problem.model.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(problem.model.parameters(), gradients, strict=True):
                    parameter -= short.learning_rates[0, 0] * gradient


def test_momentum_moves_the_edge() -> None:
    found = edge_of_stability((2.0,), momentum=0.9, **{**SMALL, "steps": 20})
    np.testing.assert_allclose(found.thresholds, 3.8 / found.learning_rates)


def test_runs_that_diverge_are_said_to() -> None:
    found = edge_of_stability((0.05,), **{**SMALL, "steps": 200})
    assert found.diverged.all()
    assert np.isnan(found.time_means).all()
    assert "1 diverged" in found.summary()
    found.plot()


def test_the_same_seed_gives_the_same_numbers(found: EdgeOfStability) -> None:
    assert edge_of_stability((1.1, 5.0), **SMALL).frame().equals(found.frame())


def test_an_interrupt_keeps_the_runs_that_were_done() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description.startswith("edge of stability") and done == 5:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = edge_of_stability((1.1, 1.5), **{**SMALL, "steps": 40})
    assert found.interrupted
    assert np.isfinite(found.sharpness[0]).all()
    assert np.isnan(found.sharpness[1]).all()
    assert "INTERRUPTED" in found.summary()


def test_it_can_be_saved_and_drawn(found: EdgeOfStability, tmp_path) -> None:
    again = wb.load_result(found.save(tmp_path / "edge.npz"))
    assert again.frame().equals(found.frame())
    assert len(found.plot().lines) == 3


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"ratios": ()}, r"ratios=\[\] are out of range"),
        ({"ratios": (1.0, -2.0)}, "all positive"),
        ({"every": 31, "steps": 30}, "every=31 is out of range"),
        ({"seeds": ()}, "number of seeds=0"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        edge_of_stability(**keywords)
