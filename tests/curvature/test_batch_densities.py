"""Densities of batches against dense matrices, and the law against a matrix with the noise that it is of."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.curvature import batch_densities
from workbench.curvature.batch_densities import BatchDensities, _grid, _law
from workbench.progress import listening


def problem_of(examples: int) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    data = (torch.randn(examples, 3).double(), torch.randint(0, 2, (examples,)))
    return wb.Problem(model, nn.CrossEntropyLoss(), data)


@pytest.mark.parametrize("matrix", ["hessian", "ggn"])
def test_each_density_is_that_of_a_batch(matrix: str) -> None:
    problem = problem_of(6)
    make = getattr(wb.curvature, matrix)
    result = batch_densities(problem, [6, 2], matrix=matrix, probes=2, steps=40)
    assert result.sizes.tolist() == [2, 6]
    exact = [
        torch.linalg.eigvalsh(make(problem.subset(torch.tensor(pair)), check=False).dense()).numpy()
        for pair in itertools.combinations(range(6), 2)
    ]
    row = result.comparison().iloc[0]
    assert min(np.hypot(e[-1] - row.largest, e[0] - row.smallest) for e in exact) < 1e-6
    full, _ = result.density()
    assert np.sum(full) * np.diff(result.grid)[0] == pytest.approx(1, rel=1e-3)
    everything, _ = result.density(6)
    assert everything == pytest.approx(full, abs=1e-2 * full.max())  # eigenvalues to a tolerance
    assert result.laws[1] == pytest.approx(full, abs=0.05 * full.max())  # near eigenvalues count as one
    assert result.edges[1] == 0
    assert "without noise" in result.summary()


def test_the_noise_is_that_of_single_examples() -> None:
    problem = problem_of(40)
    unit = torch.eye(problem.num_parameters, dtype=torch.float64)
    singles = torch.stack(
        [wb.curvature.hessian(problem.subset(torch.tensor([i])), check=False) @ unit for i in range(40)]
    )
    truth = (singles - singles.mean(dim=0)).square().sum(dim=(1, 2)).mean().item() / len(unit)
    result = batch_densities(problem, [5], probes=4, steps=10)
    assert abs(result.noise - truth) < 4 * result.noise_stderr < truth
    assert result.edges[0] == pytest.approx(2 * math.sqrt(result.noise / 5 * 35 / 39))


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_the_law_is_the_density_under_isotropic_noise(noise: float) -> None:
    rng = np.random.default_rng(0)
    n = 300
    clean = np.diag(np.concatenate([np.zeros(200), rng.exponential(0.2, 97), [2.0, 3.0, 4.0]]))
    a = rng.standard_normal((n, n))
    noisy = clean + noise * (a + a.T) / math.sqrt(2 * n)
    full, batch = (
        wb.curvature.spectral_density(torch.from_numpy(each), probes=20, steps=60, deflate=5, width=0.03)
        for each in (clean, noisy)
    )
    grid = _grid([full, batch], 2 * noise)
    result = BatchDensities(
        sizes=np.array([1]),
        full=full,
        batches=(batch,),
        grid=grid,
        width=full.width,
        laws=np.array([_law(full, noise, grid)]),
        noise=noise**2,
        noise_stderr=0.0,
        examples=10**9,
        matrix="hessian",
        matvecs=0.0,
    )
    row = result.comparison().iloc[0]
    assert row.edge == pytest.approx(2 * noise)
    assert row.distance < 0.03
    beyond = np.abs(np.linalg.eigvalsh(noisy)) > 2 * noise
    assert row.outside == pytest.approx(beyond.mean(), abs=0.02)


def test_its_table_and_picture() -> None:
    result = batch_densities(problem_of(12), [3, 6], probes=2, steps=10)
    frame = result.frame()
    assert sorted(frame["batch_size"].unique()) == [3, 6, 12]
    assert len(frame) == 3 * len(result.grid)
    assert frame["law"].isna().sum() == len(result.grid)
    first, second = result.plot(), result.plot(size=6)
    assert "one batch of 3" in [text.get_text() for text in first.get_legend().get_texts()]
    assert "one batch of 6" in [text.get_text() for text in second.get_legend().get_texts()]
    with pytest.raises(ValueError, match="there is no batch of 4: there are 3, 6"):
        result.plot(size=4)


def test_an_interrupt_keeps_the_sizes_that_are_done() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "densities of batches" and done >= 1:
            raise KeyboardInterrupt

    with listening(stop):
        result = batch_densities(problem_of(20), [4, 8, 16], probes=2, steps=10)
    assert result.interrupted
    assert result.sizes.tolist() == [4]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="sizes is empty"):
        batch_densities(problem_of(20), [])
    with pytest.raises(ValueError, match=r"sizes=21"):
        batch_densities(problem_of(20), [21])
    with pytest.raises(ValueError, match="did you mean 'ggn'"):
        batch_densities(problem_of(20), matrix="gn")
    with pytest.raises(ValueError, match="two examples"):
        batch_densities(problem_of(1), [1])
