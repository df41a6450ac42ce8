"""Hutchinson's estimator: unbiased, with an error bar that covers, and refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from test_eigensolver import SPECTRA, symmetric

import workbench as wb
from workbench.curvature import trace
from workbench.progress import listening

MATRIX = symmetric(SPECTRA["semicircle"][::5])
TRUTH = MATRIX.trace().item()


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_unbiased_over_many_seeds_with_an_error_bar_that_covers(distribution: str) -> None:
    runs = [trace(MATRIX, probes=30, seed=seed, distribution=distribution) for seed in range(300)]
    values, errors = np.array([run.value for run in runs]), np.array([run.stderr for run in runs])
    z = (values.mean() - TRUTH) / (values.std(ddof=1) / np.sqrt(len(runs)))
    assert abs(z) < 3
    covered = np.mean(np.abs(values - TRUTH) <= 1.699 * errors)  # Student's 95 % point, 29 degrees of freedom
    assert 0.85 <= covered <= 0.95  # 90 % nominal, ± 3 binomial standard errors


def test_the_spread_is_the_theoretical_one() -> None:
    run = trace(MATRIX, probes=4000)
    off_diagonal = MATRIX - torch.diag(MATRIX.diagonal())
    expected = (2 * off_diagonal.square().sum()).sqrt().item() / np.sqrt(4000)
    assert run.stderr == pytest.approx(expected, rel=0.05)


def test_a_diagonal_matrix_needs_one_probe() -> None:
    estimate = trace(torch.diag(torch.arange(5.0)), probes=3)
    assert estimate.value == pytest.approx(10)
    assert estimate.stderr == pytest.approx(0, abs=1e-6)


def test_rtol_stops_as_soon_as_it_is_reached() -> None:
    op = wb.curvature.ggn(build("mlp").problem())
    estimate = trace(op, rtol=0.05, probes=5000)
    assert estimate.converged
    assert estimate.stderr <= 0.05 * abs(estimate.value)
    assert 10 <= estimate.matvecs == op.matvecs < 5000
    assert abs(estimate.value - op.dense().trace().item()) < 4 * estimate.stderr
    assert estimate.terms == "loss"


def test_rtol_that_is_not_reached_says_so() -> None:
    with pytest.warns(RuntimeWarning, match="did not reach rtol=1e-06 within 20 probes"):
        estimate = trace(MATRIX, rtol=1e-6, probes=20)
    assert not estimate.converged
    assert "NOT converged" in estimate.summary()


def test_the_seed_decides_and_the_first_samples_stay() -> None:
    torch.manual_seed(0)
    first = trace(MATRIX, probes=15, seed=3)
    torch.manual_seed(1)
    longer = trace(MATRIX, probes=25, seed=3)
    np.testing.assert_allclose(longer.samples[:15], first.samples, rtol=1e-12)
    assert trace(MATRIX, probes=15, seed=4).samples != first.samples


def test_one_probe_has_no_standard_error() -> None:
    assert np.isnan(trace(MATRIX, probes=1).stderr)


def test_an_interrupt_returns_the_samples_so_far() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with listening(interrupt):
        estimate = trace(MATRIX, probes=50)
    assert len(estimate.samples) == estimate.matvecs == 20
    assert not estimate.converged


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "hutchingson"}, "did you mean 'hutchinson'"),
        ({"probes": 0}, "probes=0"),
        ({"rtol": 2.0}, "rtol=2.0"),
        ({"distribution": "normal"}, "distribution='normal' is not one of 'rademacher', 'gaussian'"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(MATRIX, **keywords)
