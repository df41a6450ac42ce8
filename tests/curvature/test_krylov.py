"""One Krylov space yields both ends and the density, against dense matrices of all kinds."""

import numpy as np
import pytest
from test_eigensolver import symmetric

from workbench.curvature.krylov import KrylovRun, explore_krylov
from workbench.curvature.operators import as_operator
from workbench.progress import listening
from workbench.random_vectors import generator, random_vectors

N = 80
_NOISE = np.random.default_rng(0).standard_normal((N, N))
BULK = np.linalg.eigvalsh(_NOISE + _NOISE.T) / np.sqrt(8 * N)
SPECTRA = {
    "outliers": np.concatenate([[9, 7, 6, 5, 4], BULK[5:]]),
    "repeated": np.concatenate([[5] * 6, [3] * 3, [2] * 2, BULK[11:]]),  # more often than there are probes
    "low rank": np.concatenate([[9, 4, 3, 1], np.zeros(N - 4)]),
    "two values": np.concatenate([[5], np.ones(N - 1)]),
    "bulk alone": BULK,
}


def run(values: np.ndarray, *, steps: int = 10, seed: int = 0, probes: int = 5, k: int = 8) -> KrylovRun:
    matrix = as_operator(symmetric(values))
    return explore_krylov(matrix, k, probes=probes, steps=steps, tol=1e-4, seed=seed)


@pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)
def test_both_ends_are_certified(values: np.ndarray) -> None:
    found = run(values)
    for pairs in (found.top, found.smallest):
        assert pairs.converged.all()
        distance = np.abs(pairs.values.numpy()[:, None] - values).min(axis=1)
        assert (distance <= pairs.residuals.numpy() + 1e-9).all()
    assert found.top.values[0].item() == pytest.approx(values.max(), rel=1e-6)
    assert found.smallest.values[0].item() == pytest.approx(values.min(), abs=1e-3 * np.ptp(values))


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("steps", [3, 10])
@pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)
def test_sums_are_unbiased_and_their_errors_honest(values: np.ndarray, steps: int) -> None:
    """The space's own Ritz vectors are taken out of the probes' measures: that must not bias what is left."""
    runs = [run(values, steps=steps, seed=seed).density for seed in range(80)]
    traces = np.array([density.trace for density in runs])
    error = traces.std(ddof=1) / np.sqrt(len(traces))
    assert abs(traces.mean() - values.sum()) <= 4 * error + 1e-9
    misses = np.abs(traces - values.sum()) > 2.13 * np.array([d.trace_stderr for d in runs]) + 1e-9
    assert misses.mean() <= 0.22  # 0.1 are due with five samples each
    squares = np.array([density.frobenius**2 for density in runs])
    spread = squares.std(ddof=1) / np.sqrt(len(squares))
    assert abs(squares.mean() - (values**2).sum()) <= 4 * spread + 1e-9


@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_each_probe_has_a_gauss_rule() -> None:
    """Moments up to degree 2·steps − 1 of each probe's own measure, without anything taken out."""
    matrix = symmetric(BULK)
    found = explore_krylov(as_operator(matrix), 1, probes=3, steps=4, tol=1e-12, seed=3).density
    assert not len(found.atoms)
    assert found.steps == 4
    wanted = np.linalg.eigh(matrix.numpy())
    probes = random_vectors(3, N, generator(3)).numpy()
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    for probe, nodes, weights in zip(probes, found.ritz_values, found.weights, strict=True):
        true = (probe @ wanted[1]) ** 2
        for degree in range(8):
            assert weights @ nodes**degree == pytest.approx(true @ wanted[0] ** degree, abs=1e-10)
        assert abs(weights @ nodes**8 - true @ wanted[0] ** 8) > 1e-10


def test_taking_outliers_out_makes_errors_smaller() -> None:
    values = SPECTRA["outliers"]
    alone = np.std([run(values, steps=3, seed=seed, k=1).density.frobenius for seed in range(30)])
    apart = np.std([run(values, steps=12, seed=seed, k=8).density.frobenius for seed in range(30)])
    assert apart < alone / 10


def test_one_probe_takes_nothing_out() -> None:
    """From one start vector nobody knows how often an eigenvalue is repeated."""
    assert not len(run(SPECTRA["outliers"], probes=1, steps=40).density.atoms)


def test_more_probes_than_rows() -> None:
    found = run(np.array([3.0, 2.0, 1.0, -1.0]), probes=9, k=3)
    np.testing.assert_allclose(found.top.values, [3, 2, 1], rtol=1e-9)
    assert found.density.trace == pytest.approx(5)


def test_memory_bounds_the_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    room = 4 * N * 8 * 90  # a quarter holds 90 vectors; 3 k + 60 for the search are 84
    monkeypatch.setattr("workbench.curvature.krylov.free_bytes", lambda device: room)
    large = np.concatenate([SPECTRA["outliers"], BULK, BULK])
    found = run(large, probes=5, steps=25)
    assert found.density.steps * len(found.density.weights) <= 90
    assert found.top.converged.all()


def test_an_interrupt_before_the_first_product_is_an_interrupt() -> None:
    class Stops:
        dtype, shape = np.float64, (N, N)

        def __matmul__(self, vector: np.ndarray) -> np.ndarray:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore_krylov(as_operator(Stops()), 3, probes=2, steps=5, tol=1e-3, seed=0)


def test_progress_is_shown() -> None:
    seen = []
    with listening(lambda description, done, total: seen.append((description, total))):
        run(BULK, steps=6)
    assert ("Krylov space", 6) in seen
