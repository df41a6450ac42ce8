"""Limits of minima against closed forms, against each other, and against SGD itself."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.stability import LinearStability, linear_stability, minima


def line(n: int = 12, m: int = 20, outputs: int = 1, loss: Any = None, seed: int = 0) -> wb.Problem:
    """Linear regression at an interpolating minimum; inputs of very different lengths."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, m, generator=generator, dtype=torch.float64)
    inputs *= 0.3 + torch.rand(n, 1, generator=generator, dtype=torch.float64)
    model = nn.Linear(m, outputs, bias=False).double()
    model.weight.data = torch.randn(outputs, m, generator=generator, dtype=torch.float64)
    return wb.Problem(model, loss or nn.MSELoss(), (inputs, model(inputs).detach()))


def inputs_of(problem: wb.Problem) -> torch.Tensor:
    ((batch, _),) = problem.batches()
    return batch[0]


@pytest.mark.parametrize("outputs", [1, 3])
def test_sums_are_those_of_the_written_out_matrices(outputs: int) -> None:
    problem = line(outputs=outputs)
    found = linear_stability(problem, 0.1, 1)
    x = inputs_of(problem)
    gram = x @ x.T / len(x)
    scale = 2 / outputs  # of the mean over outputs; each output has a block of its own
    assert found.trace == pytest.approx(2 * gram.trace().item())
    assert found.frobenius == pytest.approx(scale * np.sqrt(outputs) * gram.norm().item())
    squares = x.square().sum(1).square().mean().item()
    assert found.example_frobenius == pytest.approx(scale * np.sqrt(outputs * squares))
    assert found.largest == pytest.approx(scale * torch.linalg.eigvalsh(gram)[-1].item())
    assert (found.examples, found.outputs, found.rank) == (12, outputs, 12 * outputs)
    assert found.loss == 0
    assert found.interpolates
    assert found.quadratic


def half_square(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().sum(1).mean() / 2


def test_half_the_loss_allows_twice_the_learning_rate() -> None:
    halves = linear_stability(line(loss=half_square), 0.1, [1, 4])
    whole = linear_stability(line(), 0.1, [1, 4])
    for name, limit in whole.limits.items():
        np.testing.assert_allclose(halves.limits[name], 2 * limit, rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("replacement", [False, True])
def test_bounds_lie_on_their_sides_of_the_exact_limit(seed: int, outputs: int, replacement: bool) -> None:
    problem = line(n=9, m=5 + 4 * (seed % 3), outputs=outputs, seed=seed)
    found = linear_stability(problem, 0.1, [1, 2, 4, 8, 9], replacement=replacement)
    exact = found.limits["exact"]
    slack = 1 + 1e-7
    assert (found.limits["sufficient"] <= exact * slack).all()
    for name in ("noise", "eigenvector", "trace", "frobenius", "gradient_descent"):
        assert (exact <= found.limits[name] * slack).all(), name
    assert (found.limits["noise"] <= found.limits["trace"] * slack).all()
    assert (np.diff(exact) >= -1e-7 * exact[1:]).all()  # a larger batch is never less stable
    assert exact[0] <= found.limits["bare_trace"][0]
    if not replacement:
        assert exact[-1] == pytest.approx(2 / found.largest)


def test_the_bare_trace_fails_beyond_batch_size_one() -> None:
    found = linear_stability(line(n=40, m=60), 0.1, [1, 8])
    assert found.limits["exact"][0] < found.limits["bare_trace"][0]
    assert found.limits["exact"][1] > 2 * found.limits["bare_trace"][1]
    kinds = found.frame().set_index("condition")["kind"]
    assert set(kinds["bare_trace"]) == {"batch size 1"}


def test_sgd_stays_below_the_limit_and_leaves_above() -> None:
    """Mean square distance over many runs of the real thing, from the same small distance.

    A mean over runs sees growth only while the runs that make it are among them: few steps, many runs.
    """
    problem = line(n=4, m=6)
    exact = linear_stability(problem, 0.1, 2).limits["exact"][0]
    x = inputs_of(problem)
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.svd(x, full_matrices=False)[2]
    start = torch.randn(8000, 4, generator=generator, dtype=torch.float64) @ directions
    squares = {}
    for factor in (0.7, 1.3):
        away = start.clone()
        for _ in range(60):
            batch = torch.rand(len(away), 4, generator=generator).argsort(1)[:, :2]
            rows = x[batch]  # (runs, 2, m)
            residual = (rows @ away[:, :, None]).squeeze(2)
            away = away - factor * exact * 2 * (residual[:, :, None] * rows).mean(1)
        squares[factor] = (away.square().sum(1).mean() / start.square().sum(1).mean()).item()
    assert squares[0.7] < 0.5
    assert squares[1.3] > 10


def test_verdicts() -> None:
    problem = line()
    limit = linear_stability(problem, 0.1, [2, 12]).limits
    assert linear_stability(problem, 0.98 * limit["exact"][0], [2, 12]).verdicts == ["stable", "stable"]
    assert linear_stability(problem, 1.02 * limit["exact"][0], [2, 12]).verdicts == ["unstable", "stable"]
    assert linear_stability(problem, 1.02 * limit["exact"][1], [2, 12]).verdicts == ["unstable", "unstable"]


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minima, "EXACT_ROWS", 0)


@pytest.mark.parametrize("outputs", [1, 3])
def test_large_problems_get_the_same_bounds(outputs: int, one_by_one: None, monkeypatch: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, outputs)).double()
    inputs = torch.randn(11, 4, dtype=torch.float64)
    problem = wb.Problem(model, nn.MSELoss(), (inputs, model(inputs).detach()))
    large = linear_stability(problem, 0.1, [1, 3])
    monkeypatch.undo()
    small = linear_stability(problem, 0.1, [1, 3])
    for name in set(small.limits) - {"exact", "frobenius"}:
        error = large.errors[name] * 4 + 1e-4 * small.limits[name]
        assert (np.abs(large.limits[name] - small.limits[name]) <= error).all(), name
    assert np.isnan(large.limits["exact"]).all()
    assert np.isnan(large.limits["frobenius"]).all()
    assert large.matvecs > 0
    assert large.rank == -1
    assert "exact" not in set(large.frame()["condition"])


def test_between_the_bounds_nothing_is_decided(one_by_one: None) -> None:
    limits = linear_stability(line(), 0.1, 2).limits
    necessary = min(limits[name][0] for name in ("noise", "eigenvector", "trace", "gradient_descent"))
    rates = [0.9 * limits["sufficient"][0], (limits["sufficient"][0] + necessary) / 2, 1.1 * necessary]
    verdicts = [linear_stability(line(), rate, 2).verdicts[0] for rate in rates]
    assert verdicts == ["stable", "undecided", "unstable"]


def test_points_that_do_not_interpolate_are_marked() -> None:
    torch.manual_seed(0)
    data = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
    found = linear_stability(wb.Problem(nn.Linear(3, 1).double(), nn.MSELoss(), data), 0.1, 1)
    assert not found.interpolates
    assert "DOES NOT INTERPOLATE" in found.summary()
    assert not found.frame()["interpolates"].any()
    assert linear_stability(line(), 0.1, 1, tolerance=0.0).interpolates


def test_losses_other_than_squared_errors_are_marked() -> None:
    torch.manual_seed(0)
    data = torch.randn(8, 3, dtype=torch.float64), torch.randint(0, 2, (8,))
    found = linear_stability(wb.Problem(nn.Linear(3, 2).double(), nn.CrossEntropyLoss(), data), 0.1, 1)
    assert not found.quadratic
    assert "NOT A SQUARED ERROR" in found.summary()


@pytest.mark.parametrize(
    ("rate", "size", "error", "message"),
    [
        (0.0, 1, ValueError, "learning_rate=0.0 is out of range"),
        (float("nan"), 1, ValueError, "learning_rate=nan is out of range"),
        (0.1, 13, ValueError, "batch_size=13 is out of range: it must be from 1 to 12"),
        (0.1, [], ValueError, "number of batch sizes=0 is out of range"),
        (0.1, [2.5], TypeError, "batch_size=2.5 is a float"),
        (0.1, 2.0, TypeError, "batch_size=2.0 is a float, not a whole number"),
        (0.1, "2", TypeError, "batch_size='2' is a str"),
        (0.1, [2, "3"], TypeError, "batch_size='3' is a str"),
        ("0.3", 1, TypeError, "learning_rate='0.3' is a str, not a number"),
    ],
)
def test_bad_arguments_are_refused(rate: Any, size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        linear_stability(line(), rate, size)


def test_whole_numbers_of_numpy_are_batch_sizes() -> None:
    expected = linear_stability(line(), 0.1, [2, 4])
    assert linear_stability(line(), 0.1, np.array([4, 2])).frame().equals(expected.frame())
    assert linear_stability(line(), np.float32(0.1), np.int64(2)).batch_sizes.tolist() == [2]


def squares(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([each.square().sum() for each in parameters.values()]).sum()


@pytest.mark.parametrize(
    ("keywords", "left_out"),
    [
        ({"weight_decay": 5.0}, ("weight_decay=5",)),
        ({"regularizer": squares}, ("regularizer",)),
        ({"weight_decay": 0.1, "regularizer": squares}, ("weight_decay=0.1", "regularizer")),
    ],
)
def test_regularization_is_left_out_and_marked(keywords: Any, left_out: tuple[str, ...]) -> None:
    plain = line()
    ((batch, _),) = plain.batches()
    expected = linear_stability(plain, 0.1, 1)
    found = linear_stability(wb.Problem(plain.model, nn.MSELoss(), batch, **keywords), 0.1, 1)
    assert found.left_out == left_out
    assert f"WITHOUT {' AND '.join(left_out)}: the limits are of" in found.summary()
    assert "WITHOUT" not in expected.summary()
    assert found.limits["exact"] == pytest.approx(expected.limits["exact"])


def test_a_limit_counts_where_it_is_passed_by_three_errors(one_by_one: None) -> None:
    found = linear_stability(line(), 0.1, 2)
    nowhere = {name: np.array([np.inf]) for name in found.limits}
    noisy = {"noise": np.array([1.0])}
    errors = {name: np.array([0.1 if name == "noise" else 0.0]) for name in found.limits}
    low = {name: np.array([0.0]) for name in ("exact", "sufficient")}
    for rate, verdict in ((1.05, "undecided"), (1.25, "undecided"), (1.35, "unstable")):
        limits = nowhere | low | {"exact": np.array([np.nan])} | noisy
        asked = dataclasses.replace(found, learning_rate=rate, limits=limits, errors=errors)
        assert asked.verdicts == [verdict]


def test_flat_losses_are_refused() -> None:
    with pytest.raises(ValueError, match="no example's loss is curved"):
        linear_stability(line(loss=nn.L1Loss()), 0.1, 1)


def test_results_survive_saving_and_can_be_drawn(tmp_path: Path) -> None:
    found = linear_stability(line(), 0.1, [1, 2, 4])
    again = wb.load_result(found.save(tmp_path / "limits.npz"))
    assert isinstance(again, LinearStability)
    assert again.frame().equals(found.frame())
    assert again.summary() == found.summary()
    axes = found.plot()
    lines = {each.get_label(): each for each in axes.lines}
    np.testing.assert_allclose(lines["exact, mean square"].get_ydata(), found.limits["exact"])
    assert linear_stability(line(), 0.1, 1).frame().equals(linear_stability(line(), 0.1, [1]).frame())
