"""Log-determinants of damped matrices against dense ones, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from test_eigensolver import symmetric

import workbench as wb
from workbench.curvature import log_determinant, spectral_density
from workbench.progress import listening

N = 60
VALUES = np.concatenate([[20.0, 5.0, 3.0], np.linspace(0, 1, N - 3)])
MATRIX = symmetric(VALUES)


def test_unbiased_over_100_seeds_with_an_error_bar_that_covers() -> None:
    truth = np.log(VALUES + 0.1).sum()
    runs = [log_determinant(MATRIX, damping=0.1, probes=6, steps=30, seed=seed) for seed in range(100)]
    deviations = np.array([run.value - truth for run in runs])
    assert abs(deviations.mean()) < 3 * deviations.std(ddof=1) / 10
    covered = np.mean(np.abs(deviations) <= 2.015 * np.array([run.stderr for run in runs]))
    assert 0.81 <= covered <= 0.99  # 90 % nominal, ± 3 binomial standard errors
    assert all(run.converged and len(run.samples) == 6 and run.matvecs == 180 for run in runs)


def test_a_network_and_the_same_density_for_every_damping() -> None:
    op = wb.curvature.ggn(build("layernorm_attention").problem())
    dense = op.dense()
    density = spectral_density(op)
    before = op.matvecs
    for damping in (0.01, 0.1, 1.0):
        estimate = density.log_determinant(damping)
        truth = torch.logdet(dense + damping * torch.eye(len(dense), dtype=torch.float64)).item()
        assert abs(estimate.value - truth) < 4 * estimate.stderr
        assert estimate.terms == f"loss + {damping:g}·I"
    assert op.matvecs == before
    assert log_determinant(op, damping=0.1) == density.log_determinant(0.1)


def test_what_is_not_positive_definite_is_refused_with_what_would_be() -> None:
    indefinite = symmetric(np.linspace(-0.5, 1, N))
    with pytest.raises(ValueError, match=r"damping=0.3: a Ritz value is -0.5, so damping must exceed 0.5"):
        log_determinant(indefinite, damping=0.3, steps=N)
    assert log_determinant(indefinite, damping=0.51, steps=N).converged


def test_zeros_are_not_told_from_rounding() -> None:
    singular = symmetric(np.where(np.arange(N) < 5, 1.0, 0))
    with pytest.raises(ValueError, match="not positive definite with damping=0"):
        log_determinant(singular, damping=0)
    with pytest.raises(ValueError, match="not positive definite with damping=1e-07"):
        log_determinant(singular.float(), damping=1e-7)
    estimate = log_determinant(singular, damping=1e-7)  # six steps tell all there is
    assert estimate.converged
    assert abs(estimate.value - (N - 5) * np.log(1e-7) - 5 * np.log(1 + 1e-7)) < 4 * estimate.stderr


def test_too_few_steps_say_so_and_lie_above() -> None:
    steep = symmetric(np.geomspace(1e-6, 1, N))
    truth = np.log(np.geomspace(1e-6, 1, N)).sum()
    with pytest.warns(RuntimeWarning, match="last quarter of the Lanczos steps moved the log-determinant by"):
        estimate = log_determinant(steep, damping=0, steps=8, probes=20)
    assert not estimate.converged
    assert estimate.value > truth
    assert log_determinant(steep, damping=0, steps=N, probes=20).converged


def test_an_interrupt_returns_what_there_is() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 24 * 16 + 8:  # the first group of probes is done, the second is not
            raise KeyboardInterrupt

    with listening(interrupt):
        estimate = log_determinant(MATRIX, damping=1.0, probes=20, steps=20)
    assert not estimate.converged
    assert len(estimate.samples) == 16


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"damping": -1.0}, "damping=-1.0 is out of range: it must be at least 0"),
        ({"damping": float("nan")}, "damping=nan"),
        ({"damping": 1.0, "probes": 0}, "probes=0"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_determinant(MATRIX, **keywords)
