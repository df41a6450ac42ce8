"""Spectra of batches against dense matrices of single examples, and the law against them."""

from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from torch import Tensor, nn

import workbench as wb
from workbench.curvature.random_matrix import spiked_along
from workbench.progress import listening


def problem_of(examples: int = 60) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.randn(examples, 6).double(), torch.randint(0, 3, (examples,))
    return wb.Problem(model, nn.CrossEntropyLoss(), list(zip(x.split(25), y.split(25), strict=True)))


def single_matrices(problem: wb.Problem, make: Any) -> Tensor:
    """(N, n, n): the matrix of each example alone."""
    unit = torch.eye(problem.num_parameters, dtype=torch.float64)
    return torch.stack(
        [make(problem.subset(torch.tensor([i])), check=False) @ unit for i in range(problem.num_examples)]
    )


@pytest.mark.parametrize("matrix", ["hessian", "ggn"])
def test_noise_is_that_of_single_examples(matrix: str) -> None:
    problem = problem_of()
    singles = single_matrices(problem, getattr(wb.curvature, matrix))
    full = singles.mean(dim=0)
    deviations = singles - full
    n = problem.num_parameters
    result = wb.curvature.batch_spectra(
        problem, [4], matrix=matrix, batches=2, probes=40, noise_size=8, noise_batches=60
    )
    truth = deviations.square().sum(dim=(1, 2)).mean().item() / n
    assert result.noise_stderr < 0.15 * truth
    assert abs(result.noise - truth) < 4 * result.noise_stderr
    values, vectors = torch.linalg.eigh(full)
    for j in range(5):
        v = vectors[:, -1 - j]
        moved = deviations @ v
        across = moved - torch.outer(moved @ v, v)
        truth_along = across.square().sum(dim=1).mean().item()
        assert abs(result.noise_along[j] - truth_along) < 4 * result.noise_along_stderr[j]
    assert result.full == pytest.approx(values.flip(0)[:5].numpy())


def test_the_prediction_is_that_of_the_noise_of_batches() -> None:
    problem = problem_of()
    singles = single_matrices(problem, wb.curvature.hessian)
    full = singles.mean(dim=0)
    values, vectors = torch.linalg.eigh(full)
    values, vectors = values.flip(0)[:7], vectors.flip(1)[:, :7]  # two asked for, and five below
    rng = np.random.default_rng(1)
    moved = [
        (singles[torch.from_numpy(rng.permutation(60)[:20])].mean(dim=0) - full) @ vectors for _ in range(400)
    ]
    within = np.array([(vectors.T @ each).numpy() for each in moved])
    across = np.array([(each.T @ each - each.T @ vectors @ (vectors.T @ each)).numpy() for each in moved])
    truth = spiked_along(values.numpy(), within, across)[:, :2]
    result = wb.curvature.batch_spectra(
        problem, [20], 2, batches=2, noise_size=20, noise_batches=60, tol=1e-6
    )
    error = np.hypot(result.along_stderr[0], truth.std(axis=0) / 20)
    assert np.all(np.abs(result.along[0] - truth.mean(axis=0)) < 4 * error)
    assert np.all(error < 0.05 * truth.mean(axis=0))


def test_measured_values_are_those_of_batches_and_all_examples_are_exact() -> None:
    problem = problem_of()
    result = wb.curvature.batch_spectra(problem, [60, 10], 3, batches=30, noise_batches=5, tol=1e-6)
    singles = single_matrices(problem, wb.curvature.hessian)
    rng = np.random.default_rng(0)
    values = np.array(
        [
            torch.linalg.eigvalsh(singles[torch.from_numpy(rng.permutation(60)[:10])].mean(dim=0)).numpy()
            for _ in range(200)
        ]
    )[:, ::-1][:, :3]
    assert list(result.sizes) == [10, 60]
    assert np.all(np.abs(result.measured[0] - values.mean(axis=0)) < 4 * result.measured_stderr[0])
    for exact in (result.measured, result.isotropic, result.along):
        assert exact[1] == pytest.approx(result.full)
    assert not result.drowned[1].any()
    assert result.along[0, 0] > result.full[0]
    assert result.frame().shape == (6, 9)
    assert result.plot().get_xlabel().startswith("batch size (examples)")
    assert "predictions are off" in result.summary()


def test_what_is_smaller_than_the_noise_of_a_batch_drowns() -> None:
    result = wb.curvature.batch_spectra(problem_of(), [1, 60], batches=2, noise_batches=10)
    noise = np.sqrt(result.noise_along)
    assert result.thresholds[0] == pytest.approx(noise)
    assert result.drowned[0].tolist() == (result.full <= noise).tolist()
    assert result.drowned[0].any()


def test_only_positive_eigenvalues_are_followed() -> None:
    model = nn.Linear(3, 1, bias=False).double()
    data = (torch.randn(12, 3).double(), torch.randn(12, 1).double())
    flat = wb.Problem(model, lambda out, y: (out * 0 + y).mean(), data)
    with pytest.raises(ValueError, match="needs a positive one"):
        wb.curvature.batch_spectra(flat, [4], 3)
    data[0][:, 2] = 0.0
    result = wb.curvature.batch_spectra(wb.Problem(model, nn.MSELoss(), data), [4], 3, batches=2)
    assert result.measured.shape == (1, 2)


def test_an_interrupt_keeps_the_sizes_that_are_done() -> None:
    problem = problem_of()

    def stop(description: str, done: int, total: int | None) -> None:
        if description == "spectra of batches" and done >= 4:
            raise KeyboardInterrupt

    with listening(stop):
        result = wb.curvature.batch_spectra(problem, [4, 8, 16], batches=3, noise_batches=3)
    assert result.interrupted
    assert list(result.sizes) == [4]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="sizes is empty"):
        wb.curvature.batch_spectra(problem_of(), [])
    with pytest.raises(ValueError, match=r"sizes=61"):
        wb.curvature.batch_spectra(problem_of(), [61])
    with pytest.raises(ValueError, match="did you mean 'hessian'"):
        wb.curvature.batch_spectra(problem_of(), matrix="hesian")
    whole = build("mlp").problem(weight="batch")
    with pytest.raises(ValueError, match="cannot be taken out"):
        whole.subset(torch.tensor([0]))
