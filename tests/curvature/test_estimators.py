"""The variance-reduced estimators against naive code that leaves vectors out one by one, and a peer's."""

import importlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from test_eigensolver import symmetric
from torch import Tensor

from workbench.curvature import diagonal, trace
from workbench.curvature.estimators import HutchPlusPlus, Probes, XDiag, XTrace
from workbench.curvature.estimators.range_basis import RangeBasis
from workbench.curvature.operators import as_operator

N = 40
DECAYING = symmetric(1 / np.arange(1, N + 1.0))


def probes_of(matrix: Tensor, distribution: str, count: int, seed: int = 0) -> np.ndarray:
    return Probes(as_operator(matrix), distribution, seed).draw(count).T.numpy()


def naive_sample(
    matrix: np.ndarray, probes: np.ndarray, i: int, without: int | None, *, sphere: bool
) -> float:
    """XTrace's i-th sample by the book: a QR decomposition of what is left, and a projector."""
    left = np.delete(probes, [i] if without is None else [i, without], axis=1)
    basis, _ = np.linalg.qr(matrix @ left)
    rest = probes[:, i] - basis @ (basis.T @ probes[:, i])
    if sphere:
        rest *= np.sqrt(len(matrix) - left.shape[1]) / np.linalg.norm(rest)
    return np.trace(basis.T @ matrix @ basis) + rest @ matrix @ rest


@pytest.mark.parametrize("distribution", ["rademacher", "sphere"])
@pytest.mark.parametrize("symmetry", ["symmetric", "skewed"])
def test_xtrace_is_the_naive_one_for_any_square_matrix(symmetry: str, distribution: str) -> None:
    noise = torch.randn(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = DECAYING if symmetry == "symmetric" else DECAYING + 0.1 * noise
    op = as_operator(given)
    xtrace = XTrace(op, Probes(op, distribution, 0), capacity=9)
    for block in (4, 1, 4):  # also when it grew
        xtrace.extend(block)
    found = xtrace.traces()
    matrix, probes, sphere = given.numpy(), probes_of(given, distribution, 9), distribution == "sphere"
    samples = np.array([naive_sample(matrix, probes, i, None, sphere=sphere) for i in range(9)])
    np.testing.assert_allclose(found.values, samples, rtol=1e-11)

    changes = np.array(
        [
            [
                samples[i] - naive_sample(matrix, probes, i, j, sphere=sphere) if i != j else 0.0
                for j in range(9)
            ]
            for i in range(9)
        ]
    )
    covariance = (changes * changes.T).sum() / (9 * 8)
    assert covariance > 0 or symmetry == "skewed"
    assert found.stderr == pytest.approx(np.sqrt(samples.var(ddof=1) / 9 + max(covariance, 0)), rel=1e-9)
    assert op.matvecs == 18


@pytest.mark.parametrize("kind", [HutchPlusPlus, XTrace])
def test_squares_are_those_of_the_matrix_times_its_transpose(kind: type[HutchPlusPlus | XTrace]) -> None:
    op = as_operator(DECAYING)
    sampler = kind(op, Probes(op, "rademacher", 0), 6)
    sampler.extend(6)
    probes = probes_of(DECAYING, "rademacher", 12)
    for i, value in enumerate(sampler.squares().values.tolist()):
        made, tested = (probes[:, :6], probes[:, 6:]) if kind is HutchPlusPlus else (probes[:, :6],) * 2
        basis, _ = np.linalg.qr(DECAYING.numpy() @ (np.delete(made, i, axis=1) if kind is XTrace else made))
        rest = tested[:, i] - basis @ (basis.T @ tested[:, i])
        images = DECAYING.numpy() @ np.column_stack([basis, rest])
        assert value == pytest.approx((images**2).sum(), rel=1e-12)


def test_xdiag_is_the_naive_one_also_for_its_errors() -> None:
    estimate = diagonal(DECAYING, "xdiag", max_matvecs=16)
    matrix, probes, count = DECAYING.numpy(), probes_of(DECAYING, "rademacher", 8), 8

    def sample(i: int, *left_out: int) -> np.ndarray:
        basis, _ = np.linalg.qr(matrix @ np.delete(probes, [i, *left_out], axis=1))
        image = matrix @ probes[:, i]
        return np.diag(basis @ basis.T @ matrix) + probes[:, i] * (image - basis @ (basis.T @ image))

    samples = np.array([sample(i) for i in range(count)])
    covariance = np.zeros(N)
    total = 0.0
    for i in range(count):
        for j in set(range(count)) - {i}:
            change, other = samples[i] - sample(i, j), samples[j] - sample(j, i)
            covariance += change * other / (count * (count - 1))
            total += change.sum() * other.sum() / (count * (count - 1))
    np.testing.assert_allclose(estimate.values, samples.mean(axis=0), rtol=1e-10)
    expected = np.sqrt(samples.var(axis=0, ddof=1) / count + covariance.clip(0))
    np.testing.assert_allclose(estimate.stderr, expected, rtol=1e-8)
    sums = samples.sum(axis=1)
    assert estimate.trace == pytest.approx(sums.mean(), rel=1e-10)
    assert estimate.trace_stderr == pytest.approx(np.sqrt(sums.var(ddof=1) / count + max(total, 0)), rel=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [0, 3, 10, N])
def test_the_basis_is_orthonormal_whatever_the_rank(rank: int, dtype: torch.dtype) -> None:
    op = as_operator(torch.diag((torch.arange(N) < rank).to(dtype)))
    basis = RangeBasis(op, 20)
    probes = Probes(op, "rademacher", 0)
    products = [(op @ probes.draw(10).T).T for _ in range(2)]
    for block in products:
        basis.extend(block)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(basis.rows @ basis.rows.T, torch.eye(20, dtype=dtype), rtol=0, atol=50 * eps)
    torch.testing.assert_close(basis.images, basis.rows @ op.dense(), rtol=0, atol=50 * eps)
    spanned = basis.triangle.T.to(dtype) @ basis.rows
    torch.testing.assert_close(spanned, torch.cat(products), rtol=0, atol=50 * eps)


@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
@pytest.mark.parametrize("rank", [0, 1, 5])
def test_an_exhausted_range_leaves_rounding_only(method: str, rank: int) -> None:
    matrix = symmetric(np.where(np.arange(N) < rank, 2.0, 0))
    estimate = trace(matrix, method, max_matvecs=N - 1)
    assert estimate.value == pytest.approx(2 * rank, abs=1e-9)
    assert estimate.stderr < 1e-9
    entries = diagonal(matrix, "xdiag", max_matvecs=N - 1)
    torch.testing.assert_close(entries.values, matrix.diagonal(), rtol=0, atol=1e-9)
    assert entries.stderr.max() < 1e-9


@pytest.mark.parametrize(
    ("file", "function", "ours"),
    [
        ("trace.meyer2020hutch", "hutchpp_trace", lambda: trace(DECAYING, "hutch++", max_matvecs=24).value),
        (
            "trace.epperly2024xtrace",
            "xtrace",
            lambda: trace(DECAYING, "xtrace", max_matvecs=24, distribution="rademacher").value,
        ),
        ("diagonal.epperly2024xtrace", "xdiag", lambda: diagonal(DECAYING, "xdiag", max_matvecs=24).values),
    ],
)
def test_the_same_vectors_give_what_curvlinops_gives(
    file: str, function: str, ours: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("curvlinops", reason="the peer is in the extra `dev`")
    module = importlib.import_module(f"curvlinops.{file}")
    vectors: Iterator[Tensor] = iter(torch.from_numpy(probes_of(DECAYING, "rademacher", 24)).T)
    monkeypatch.setattr(module, "random_vector", lambda *_: next(vectors))
    theirs = getattr(module, function)(DECAYING, num_matvecs=24)
    torch.testing.assert_close(torch.as_tensor(ours(), dtype=torch.float64), theirs, rtol=1e-10, atol=1e-12)


def test_sums_over_layers_are_those_of_the_entries() -> None:
    op = as_operator(DECAYING)
    parts = (("a", 0, 7), ("b", 7, N))
    estimator = XDiag(op, parts, 0, 8)
    estimator.extend(8)
    found = estimator.finish()
    for (_, start, stop), layer in zip(parts, found.layers, strict=True):
        assert layer.mean == pytest.approx(found.values[start:stop].sum().item())
    assert found.total.mean == pytest.approx(found.values.sum().item())
