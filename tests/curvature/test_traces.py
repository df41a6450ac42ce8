"""Traces and Frobenius norms: unbiased, with error bars that cover, stopping rules and refusals."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from scipy.stats import t as student
from test_eigensolver import SPECTRA, symmetric
from torch import Tensor

import workbench as wb
from workbench.curvature import frobenius_norm, trace
from workbench.curvature.estimators import sampling
from workbench.progress import listening
from workbench.result import Estimate

METHODS = {"hutchinson": 1, "hutch++": 3, "xtrace": 2}  # products per sample
N = 60
MATRICES = {
    "decaying": symmetric(1 / np.arange(1, N + 1.0)),
    "bulk": symmetric(SPECTRA["semicircle"][::5]),
}
MATRIX = MATRICES["bulk"]


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize(
    ("method", "distribution"),
    [
        ("hutchinson", "rademacher"),
        ("hutchinson", "sphere"),
        ("hutchinson", "gaussian"),
        ("hutch++", "rademacher"),
        ("hutch++", "sphere"),
        ("xtrace", "rademacher"),
        ("xtrace", "sphere"),
    ],
)
@pytest.mark.parametrize("function", [trace, frobenius_norm])
def test_unbiased_over_200_seeds_with_an_error_bar_that_covers(
    name: str, method: str, distribution: str, function: Callable[..., Estimate]
) -> None:
    matrix = MATRICES[name]
    truth = (matrix.trace() if function is trace else matrix.norm()).item()
    runs = [
        function(matrix, method, max_matvecs=45, seed=seed, distribution=distribution) for seed in range(200)
    ]
    values, errors = np.array([run.value for run in runs]), np.array([run.stderr for run in runs])
    if function is frobenius_norm:  # the square is what is unbiased
        centre, spread = (values**2).mean() - truth**2, (values**2).std(ddof=1)
    else:
        centre, spread = values.mean() - truth, values.std(ddof=1)
    assert abs(centre) < 3 * spread / np.sqrt(len(runs))
    count = 45 // METHODS[method]
    assert all(
        (len(run.samples), run.matvecs) == (count, 45 // METHODS[method] * METHODS[method]) for run in runs
    )
    covered = np.mean(np.abs(values - truth) <= student.ppf(0.95, count - 1) * errors)
    assert 0.83 <= covered <= 0.97


def test_hutchinson_varies_as_theory_says() -> None:
    values = [trace(MATRIX, max_matvecs=1, seed=seed).value for seed in range(4000)]
    off_diagonal = MATRIX - torch.diag(MATRIX.diagonal())
    expected = (2 * off_diagonal.square().sum()).sqrt().item()
    assert np.std(values) == pytest.approx(expected, rel=0.05)


def test_the_sphere_varies_less_than_the_normal_distribution_by_the_radius() -> None:
    identity = torch.eye(30, dtype=torch.float64)
    assert trace(identity, max_matvecs=5, distribution="sphere").stderr < 1e-12
    assert trace(identity, max_matvecs=5, distribution="gaussian").stderr > 0.1


@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
def test_decaying_spectra_gain_more_than_tenfold_at_100_products(method: str) -> None:
    matrix = symmetric(1 / np.arange(1, 201.0) ** 2)
    truth = matrix.trace().item()

    def error(kind: str) -> float:
        runs = [trace(matrix, kind, max_matvecs=100, seed=seed).value for seed in range(20)]
        return float(np.sqrt(np.mean((np.array(runs) - truth) ** 2)))

    assert error(method) < error("hutchinson") / 10


@pytest.mark.parametrize("method", METHODS)
def test_a_network_within_its_error(method: str) -> None:
    op = wb.curvature.hessian(build("layernorm_attention").problem())
    dense = wb.curvature.hessian(build("layernorm_attention").problem()).dense()
    estimate, norm = trace(op, method, max_matvecs=60), frobenius_norm(op, method, max_matvecs=30)
    assert abs(estimate.value - dense.trace().item()) < 4 * estimate.stderr
    assert abs(norm.value - dense.norm().item()) < 4 * norm.stderr
    assert estimate.matvecs + norm.matvecs == op.matvecs == 90
    assert (estimate.terms, estimate.method) == ("loss", method)
    assert f"by {method}, 60 products, loss" in estimate.summary()


def test_float32_differs_by_rounding() -> None:
    matrix = MATRICES["decaying"]
    for method in METHODS:
        single, double = (trace(each, method, max_matvecs=45) for each in (matrix.float(), matrix))
        assert single.value == pytest.approx(double.value, rel=1e-5)
        assert single.stderr == pytest.approx(double.stderr, rel=1e-3)


def test_a_diagonal_matrix_needs_one_probe() -> None:
    estimate = trace(torch.diag(torch.arange(5.0)), max_matvecs=3)
    assert estimate.value == pytest.approx(10)
    assert estimate.stderr == pytest.approx(0, abs=1e-6)


def test_one_probe_has_no_standard_error() -> None:
    assert np.isnan(trace(MATRIX, max_matvecs=1).stderr)


@pytest.mark.parametrize("method", METHODS)
def test_as_many_products_as_rows_are_exact(method: str) -> None:
    for estimate, truth in (
        (trace(MATRIX, method, max_matvecs=N), MATRIX.trace()),
        (frobenius_norm(MATRIX, method, max_matvecs=N), MATRIX.norm()),
    ):
        assert estimate.value == pytest.approx(truth.item(), rel=1e-12)
        assert (estimate.stderr, estimate.matvecs, estimate.method) == (0, N, "exact")
        assert "exact" in estimate.summary()


@pytest.mark.parametrize("method", METHODS)
def test_a_tolerance_stops_as_soon_as_it_is_reached(method: str) -> None:
    matrix = symmetric(1 / np.arange(1, 301.0))
    estimate = trace(matrix, method, rtol=0.15, max_matvecs=290)
    assert estimate.converged
    assert estimate.stderr <= 0.15 * estimate.value
    assert 10 * METHODS[method] <= estimate.matvecs <= 200
    norm = frobenius_norm(matrix, method, rtol=0.2, max_matvecs=290)
    assert norm.converged
    assert norm.stderr <= 0.2 * norm.value
    assert norm.matvecs <= 200


@pytest.mark.parametrize("method", METHODS)
def test_a_tolerance_that_is_not_reached_says_so_and_cost_nothing_twice(method: str) -> None:
    with pytest.warns(RuntimeWarning, match="trace did not reach the tolerance within 42 products"):
        estimate = trace(MATRIX, method, rtol=1e-6, max_matvecs=42)
    assert not estimate.converged
    assert "NOT converged" in estimate.summary()
    at_once = trace(MATRIX, method, max_matvecs=42)
    np.testing.assert_allclose(estimate.samples, at_once.samples, rtol=1e-12)


def test_a_tolerance_out_of_reach_of_sampling_is_met_exactly_if_the_products_allow() -> None:
    estimate = trace(MATRIX, rtol=1e-6, max_matvecs=2 * N)
    assert estimate.converged
    assert (estimate.stderr, estimate.matvecs) == (0, 2 * N)


@pytest.mark.parametrize("method", METHODS)
def test_a_trace_near_zero_stops_by_the_frobenius_norm(method: str) -> None:
    values = SPECTRA["semicircle"] - SPECTRA["semicircle"].mean()
    matrix = symmetric(values)
    estimate = trace(matrix, method, rtol=0.01, atol=0.2, max_matvecs=290)
    assert estimate.converged
    norm = matrix.norm().item()
    assert estimate.stderr <= 0.2 * norm * 1.1  # the norm is an estimate too
    assert abs(estimate.value) < 4 * estimate.stderr
    assert estimate.matvecs < 290
    with pytest.warns(RuntimeWarning, match="did not reach"):
        assert not trace(matrix, method, rtol=0.01, max_matvecs=estimate.matvecs).converged


def test_the_seed_decides_and_the_first_samples_stay() -> None:
    torch.manual_seed(0)
    first = trace(MATRIX, max_matvecs=15, seed=3)
    torch.manual_seed(1)
    longer = trace(MATRIX, max_matvecs=25, seed=3)
    np.testing.assert_allclose(longer.samples[:15], first.samples, rtol=1e-12)
    assert trace(MATRIX, max_matvecs=15, seed=4).samples != first.samples


class InterruptedAt:
    """A matrix whose product number ``last`` is interrupted."""

    shape = (N, N)
    dtype = torch.float64

    def __init__(self, last: int) -> None:
        self.last, self.count = last, 0

    def __matmul__(self, vector: Tensor) -> Tensor:
        self.count += 1
        if self.count == self.last:
            raise KeyboardInterrupt
        return MATRIX @ vector


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_within_a_product_returns_the_finished_samples(method: str) -> None:
    finished = 10 * METHODS[method]
    for missing in range(1, finished - METHODS[method], 7):
        estimate = trace(InterruptedAt(finished + missing), method, max_matvecs=2 * finished - 1)
        expected = trace(MATRIX, method, max_matvecs=finished)
        np.testing.assert_allclose(estimate.samples, expected.samples, rtol=1e-12)
        assert not estimate.converged
    with pytest.raises(KeyboardInterrupt):
        trace(InterruptedAt(1), method)


def test_an_interrupt_between_blocks_returns_the_samples_so_far() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with listening(interrupt):
        estimate = trace(MATRIX, max_matvecs=50)
    assert len(estimate.samples) == estimate.matvecs == 20
    assert not estimate.converged


def test_a_zero_matrix_has_nothing_to_say() -> None:
    zero = torch.zeros(50, 50, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            assert trace(zero, method, max_matvecs=30).value == pytest.approx(0, abs=1e-12)
            assert frobenius_norm(zero, method, max_matvecs=30).value == pytest.approx(0, abs=1e-12)


def test_results_survive_a_file(tmp_path: Any) -> None:
    estimate = trace(MATRIX, "xtrace", max_matvecs=20)
    assert wb.load_result(estimate.save(tmp_path / "trace.npz")) == estimate


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "hutchingson"}, "did you mean 'hutchinson'"),
        ({"max_matvecs": 0}, "max_matvecs=0"),
        ({"method": "hutch++", "max_matvecs": 2}, "max_matvecs=2 is out of range: it must be at least 3"),
        ({"rtol": 2.0}, "rtol=2.0"),
        ({"atol": 0.0}, "atol=0.0"),
        ({"distribution": "normal"}, "distribution='normal' is not one of 'rademacher', 'sphere'"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(MATRIX, **keywords)


@pytest.mark.parametrize("method", METHODS)
def test_products_that_are_not_finite_are_refused(method: str) -> None:
    for budget in (30, 60):  # sampled, exact
        with pytest.raises(ValueError, match="not finite"):
            trace(torch.full((50, 50), float("nan")), method, max_matvecs=budget)


def test_more_vectors_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "free_bytes", lambda device: 2 * 60 * N * 8)
    trace(MATRIX, "xtrace", max_matvecs=40)
    with pytest.raises(ValueError, match=r"63 vectors of length 60 take 30.2 kB"):
        trace(MATRIX, "xtrace", max_matvecs=42)
    trace(MATRIX, max_matvecs=42)
