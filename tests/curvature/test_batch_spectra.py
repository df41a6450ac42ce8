"""Spectra of batches against dense matrices of single examples, and the law against them."""

from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from torch import Tensor, nn

import workbench as wb
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
    v = vectors[:, -1]
    moved = deviations @ v
    across = moved - torch.outer(moved @ v, v)
    truth_along = across.square().sum(dim=1).mean().item()
    assert abs(result.noise_along - truth_along) < 4 * result.noise_along_stderr
    assert result.full == pytest.approx(values[-1].item())


def test_measured_values_are_those_of_batches_and_all_examples_are_exact() -> None:
    problem = problem_of()
    result = wb.curvature.batch_spectra(problem, [60, 10], batches=30, noise_batches=5, tol=1e-6)
    singles = single_matrices(problem, wb.curvature.hessian)
    rng = np.random.default_rng(0)
    values = [
        torch.linalg.eigvalsh(singles[torch.from_numpy(rng.permutation(60)[:10])].mean(dim=0))[-1].item()
        for _ in range(200)
    ]
    assert list(result.sizes) == [10, 60]
    assert abs(result.measured[0] - np.mean(values)) < 4 * result.measured_stderr[0]
    assert result.measured[1] == pytest.approx(result.full)
    assert result.isotropic[1] == result.along[1] == result.full
    assert result.along[0] > result.full
    assert len(result.frame()) == 2
    assert result.plot().get_xlabel() == "batch size (examples)"
    assert "predictions are off" in result.summary()


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
    with pytest.raises(ValueError, match=r"sizes=61"):
        wb.curvature.batch_spectra(problem_of(), [61])
    with pytest.raises(ValueError, match="did you mean 'hessian'"):
        wb.curvature.batch_spectra(problem_of(), matrix="hesian")
    whole = build("mlp").problem(weight="batch")
    with pytest.raises(ValueError, match="cannot be taken out"):
        whole.subset(torch.tensor([0]))
