"""Lanczos by its recurrence alone against the fully orthogonalised process and dense measures."""

import itertools

import numpy as np
import pytest
import torch
from test_eigensolver import symmetric
from torch import Tensor

from workbench.curvature.lanczos import Lanczos
from workbench.curvature.recurrence import Recurrences

GUARDED = 24
EPS = torch.finfo(torch.float32).eps
OUTLIERS = np.array([100.0, 80, 60, 45, 30])
VALUES = np.concatenate([OUTLIERS, np.linspace(-1, 1, 395)])
STARTS = torch.randn(3, len(VALUES), dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def run(
    matrix: Tensor, starts: Tensor, steps: int, removed: Tensor | None = None, guarded: int = GUARDED
) -> Recurrences:
    processes = Recurrences(
        starts.to(matrix.dtype).clone(), steps, torch.finfo(matrix.dtype).eps, guarded, removed
    )
    while not processes.done:
        processes.absorb((matrix @ processes.newest.T).T)
    return processes


def test_the_projections_are_those_of_the_orthogonalised_process() -> None:
    matrix = symmetric(VALUES)
    processes = run(matrix, STARTS, 40)
    for start, (nodes, weights) in zip(STARTS, processes.rules(), strict=True):
        process = Lanczos(start, 40, processes.precision)
        for _ in range(40):
            process.absorb(matrix @ process.newest)
        values, coordinates, _ = process.ritz()
        np.testing.assert_allclose(nodes, values, atol=1e-9)
        np.testing.assert_allclose(weights, coordinates[0] ** 2, atol=1e-12)


def test_outliers_have_no_copies_in_float32_though_few_vectors_are_kept() -> None:
    matrix = symmetric(VALUES).float()
    processes = run(matrix, STARTS, 150)
    for nodes, _ in processes.rules():
        np.testing.assert_allclose(nodes[nodes > 10], np.sort(OUTLIERS), rtol=1e-5)


def test_kept_vectors_leave_no_copies_at_all() -> None:
    """In float32, against the rules of float64; with few kept, copies take the places of other nodes."""
    matrix = symmetric(VALUES)
    exact = run(matrix, STARTS, 150, guarded=150).rules()
    kept, few = (run(matrix.float(), STARTS, 150, guarded=guarded).rules() for guarded in (150, GUARDED))
    for (nodes, _), (near, _), (far, _) in zip(exact, kept, few, strict=True):
        np.testing.assert_allclose(near, nodes, atol=1e-3)
        assert np.abs(far - nodes[-len(far) :]).max() > 1e-3


def test_the_measure_is_the_start_vectors_own_in_float32() -> None:
    """Beyond the steps that are guarded, too, where copies of what converged later appear."""
    matrix = symmetric(VALUES)
    values, vectors = torch.linalg.eigh(matrix)
    measures = (STARTS @ vectors) ** 2 / (STARTS**2).sum(dim=1, keepdim=True)
    for measure, (nodes, weights) in zip(measures, run(matrix.float(), STARTS, 300).rules(), strict=True):
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        assert (weights > 0).all()
        for width in (0.1, 3.0):
            at = np.linspace(-3, 110, 400)
            smooth = [
                np.exp(-0.5 * ((at[:, None] - places) / width) ** 2) @ masses
                for places, masses in ((values.numpy(), measure.numpy()), (nodes, weights))
            ]
            np.testing.assert_allclose(smooth[1], smooth[0], atol=2e-3)


def test_rounding_of_long_sums_does_not_show() -> None:
    """Half a million products of one sign, whose float32 sum would be off by 2e-6."""
    starts = torch.randn(1, 500_000, generator=torch.Generator().manual_seed(0))
    processes = Recurrences(starts, 3, EPS, 3)
    processes.absorb(processes.newest.clone())
    ((nodes, _),) = processes.rules()
    assert nodes[0] == pytest.approx(1, abs=3e-7)
    assert processes.closed.all()


def test_what_is_removed_stays_away() -> None:
    """Also where it lies outside of the rest's spectrum, so that rounding would bring it back."""
    matrix = symmetric(VALUES + 2)
    vectors = torch.linalg.eigh(matrix)[1][:, -5:]
    ((nodes, weights),) = run(matrix, STARTS[:1], 120, vectors).rules()
    assert nodes.min() > 1 - 1e-9
    assert nodes.max() < 3 + 1e-9
    assert weights.sum() == pytest.approx(1)


def test_processes_end_at_steps_of_their_own() -> None:
    matrix = torch.diag(torch.tensor([3.0, 1.0] + 10 * [-2.0], dtype=torch.float64))
    starts = torch.zeros(3, 12, dtype=torch.float64)
    starts[0, 2:] = starts[1, [0, 5]] = 1
    starts[2] = torch.arange(1, 13)
    processes = run(matrix, starts, 12)
    assert processes.sizes.tolist() == [1, 2, 3]
    assert processes.closed.all()
    expected = ([-2.0], [-2.0, 3.0], [-2.0, 1.0, 3.0])
    for (nodes, _), values in zip(processes.rules(), expected, strict=True):
        np.testing.assert_allclose(nodes, values, atol=1e-12)


def test_the_skew_part_of_the_projection() -> None:
    steps = 10
    matrix = symmetric(VALUES)
    matrix = matrix + 0.01 * torch.triu(torch.ones_like(matrix))
    processes = Recurrences(STARTS[:1].clone(), steps, 2e-16, steps)
    rows = []
    for _ in range(steps):
        rows.append(processes.newest[0].clone())
        processes.absorb((matrix @ processes.newest.T).T)
    beside = [(u @ matrix @ v - v @ matrix @ u).item() for u, v in itertools.pairwise(rows)]
    assert processes.skew == pytest.approx(np.sqrt(2 * np.square(beside).sum()), rel=1e-9)
    assert run(symmetric(VALUES), STARTS, 60).skew < 1e-11


def test_few_vectors_are_kept_after_the_guarded_steps() -> None:
    processes = run(symmetric(VALUES).float(), STARTS, GUARDED + 5)
    assert processes._guarding == len(OUTLIERS)


def test_a_product_that_is_not_finite_is_refused() -> None:
    processes = Recurrences(torch.ones(2, 5), 3, EPS, 3)
    with pytest.raises(ValueError, match="a product with the operator is not finite"):
        processes.absorb(torch.full((2, 5), torch.nan))
