"""Stochastic Lanczos quadrature against dense spectra."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from test_eigensolver import SPECTRA, symmetric
from torch import nn

import workbench as wb
from workbench.curvature import SpectralDensity, spectral_density
from workbench.progress import listening


def distance(density: SpectralDensity, eigenvalues: np.ndarray, margin: float = 1e-6) -> float:
    """Largest difference between the estimated and the true distribution function.

    Kolmogorov and Smirnov's distance, but a node may be off by ``margin`` times the largest magnitude: where
    many eigenvalues coincide, any shift of a node would count as a wrong share (Lévy's distance).
    """
    ascending = np.sort(eigenvalues)
    shift = margin * np.abs(ascending).max()

    def true(at: np.ndarray) -> np.ndarray:
        return np.searchsorted(ascending, at, side="right") / len(ascending)

    nodes = np.concatenate(density.ritz_values)
    too_high = density.cumulative(nodes)[0] - true(nodes + shift)
    too_low = true(ascending) - density.cumulative(ascending + shift)[0]
    return float(max(too_high.max(), too_low.max()))


def test_rounding_beside_the_atoms_is_no_asymmetry() -> None:
    values = np.concatenate([np.zeros(20), [1.0, 2.0, 3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        density = spectral_density(symmetric(values), probes=2, steps=10, deflate=3)
    assert density.asymmetry < 1e-12


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
@pytest.mark.parametrize("name", SPECTRA)
def test_known_spectra(name: str, distribution: str) -> None:
    values = SPECTRA[name]
    density = spectral_density(symmetric(values), probes=10, steps=80, distribution=distribution)
    assert len(density.weights) == 10
    for nodes, weights in zip(density.ritz_values, density.weights, strict=True):
        assert abs(weights.sum() - 1) < 1e-12
        assert (weights >= 0).all()
        assert nodes.min() >= values.min() - 1e-8
        assert nodes.max() <= values.max() + 1e-8
    assert distance(density, values) <= 0.05
    assert abs(density.trace - values.sum()) <= 3 * density.trace_stderr + 1e-9
    frobenius = np.sqrt((values**2).sum())
    assert abs(density.frobenius - frobenius) <= 3 * density.frobenius_stderr + 1e-9
    assert abs(np.trapezoid(density.density, density.grid) - 1) < 1e-3
    null = np.mean(np.abs(values) <= density.null_threshold)
    assert abs(density.null_mass - null) <= 3 * density.null_stderr + 0.02


def test_the_distance_sees_too_few_steps() -> None:
    density = spectral_density(symmetric(SPECTRA["semicircle"]), probes=10, steps=4)
    assert distance(density, SPECTRA["semicircle"]) > 0.05


def test_a_trained_network_in_float32() -> None:
    """Digits have pixels that are always 0: their weights have exactly no curvature."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images[:200] / 16).float(), torch.tensor(labels[:200])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    op = wb.curvature.hessian(wb.Problem(model.eval(), nn.CrossEntropyLoss(), (x, y)))
    values = torch.linalg.eigvalsh(op.dense().double()).numpy()
    density = spectral_density(op, probes=10, steps=80)
    assert distance(density, values, margin=1e-3) <= 0.05
    assert abs(density.trace - values.sum()) <= 3 * density.trace_stderr
    dead = 8 * int((x == 0).all(dim=0).sum())
    assert dead >= 50
    assert (np.abs(values) < 1e-6 * np.abs(values).max()).sum() >= dead
    null = np.mean(np.abs(values) <= density.null_threshold)
    assert abs(density.null_mass - null) <= 3 * density.null_stderr + 0.02
    assert density.terms == "loss"


def test_polynomials_up_to_degree_2m_minus_1_are_exact() -> None:
    matrix = symmetric(np.linspace(-1, 1.5, 60))
    steps = 6
    density = spectral_density(matrix, probes=1, steps=steps, seed=3)
    probe = torch.randint(0, 2, (60,), generator=torch.Generator().manual_seed(3)).double() * 2 - 1
    nodes, weights = density.ritz_values[0], density.weights[0]
    power = probe / probe.norm()
    moments = []
    for _ in range(2 * steps + 1):
        moments.append((probe @ power / probe.norm()).item())
        power = matrix @ power
    quadrature = [(weights @ nodes**degree).item() for degree in range(2 * steps + 1)]
    np.testing.assert_allclose(quadrature[: 2 * steps], moments[: 2 * steps], rtol=1e-11)
    assert abs(quadrature[2 * steps] - moments[2 * steps]) > 1e-6  # and no further


def test_all_steps_give_the_exact_spectral_measure() -> None:
    values = np.arange(1.0, 9)
    density = spectral_density(symmetric(values), probes=3, steps=100)
    assert density.matvecs == 3 * 8
    for nodes in density.ritz_values:
        np.testing.assert_allclose(nodes, values, rtol=1e-10)


def test_an_invariant_subspace_ends_a_probe() -> None:
    values = np.repeat([2.0, -1.0, 0.5], 20)
    density = spectral_density(symmetric(values).float(), probes=4, steps=30)
    for nodes, weights in zip(density.ritz_values, density.weights, strict=True):
        np.testing.assert_allclose(nodes[weights > 1e-6], [-1, 0.5, 2], atol=1e-5)
        assert len(nodes) < 30


def test_degenerate_matrices() -> None:
    for scale in (0.0, 2.0):
        density = spectral_density(scale * torch.eye(7), probes=2, steps=5)
        assert density.trace == pytest.approx(7 * scale)
        assert density.frobenius == pytest.approx(7**0.5 * scale)
        assert np.isfinite(density.density).all()
        assert np.trapezoid(density.density, density.grid) == pytest.approx(1, abs=1e-3)
        density.plot()
    assert spectral_density(torch.zeros(4, 4), probes=2).null_mass == 1


def test_the_density_is_the_broadened_spectrum() -> None:
    values = SPECTRA["outliers over a bulk"]
    density = spectral_density(symmetric(values), probes=40, steps=80, width=1.0)
    assert density.width == 1
    kernel = np.exp(-0.5 * (density.grid[:, None] - values) ** 2).mean(axis=1) / np.sqrt(2 * np.pi)
    error = np.abs(density.density - kernel)
    assert (error <= 4 * density.stderr + 1e-4).all()
    assert error.max() < 0.01 * kernel.max()


def test_the_standard_error_is_that_of_the_mean_over_probes() -> None:
    matrix = symmetric(SPECTRA["semicircle"])
    runs = [spectral_density(matrix, probes=8, steps=20, seed=seed, width=1.0) for seed in range(30)]
    spread = np.std([run.trace for run in runs], ddof=1)
    stated = np.sqrt(np.mean([run.trace_stderr**2 for run in runs]))
    assert 0.65 < stated / spread < 1.5
    middle = np.std([np.interp(0.0, run.grid, run.density) for run in runs], ddof=1)
    stated = np.sqrt(np.mean([np.interp(0.0, run.grid, run.stderr) ** 2 for run in runs]))
    assert 0.65 < stated / middle < 1.5


def test_one_probe_has_no_standard_error() -> None:
    density = spectral_density(symmetric(SPECTRA["spread"]), probes=1, steps=10)
    assert np.isnan(density.stderr).all()
    assert np.isnan(density.trace_stderr)
    density.plot()
    assert "nan" in density.summary()


def test_the_seed_decides_and_the_first_probes_stay() -> None:
    matrix = symmetric(SPECTRA["semicircle"])
    few, more = (spectral_density(matrix, probes=count, steps=10, seed=1) for count in (2, 20))
    for i in range(2):
        np.testing.assert_allclose(few.ritz_values[i], more.ritz_values[i], rtol=1e-10)
    other = spectral_density(matrix, probes=2, steps=10, seed=2)
    assert not np.allclose(few.ritz_values[0], other.ritz_values[0])


@pytest.mark.parametrize(("products", "probes", "steps"), [(16 * 5, 16, 5), (16 * 10 + 4 * 3, 16, 10)])
def test_an_interrupt_keeps_finished_probes_or_the_steps_so_far(
    products: int, probes: int, steps: int
) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == products:
            raise KeyboardInterrupt

    matrix = symmetric(SPECTRA["semicircle"])
    with listening(interrupt):
        density = spectral_density(matrix, probes=20, steps=10)
    assert density.interrupted
    assert "interrupted" in density.summary()
    assert [len(nodes) for nodes in density.ritz_values] == [steps] * probes
    for weights in density.weights:
        assert weights.sum() == pytest.approx(1)
    assert distance(density, SPECTRA["semicircle"]) < 0.2


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"probes": 0}, "probes=0"),
        ({"steps": 0}, "steps=0"),
        ({"width": -1.0}, "width=-1.0"),
        ({"distribution": "gausian"}, "did you mean 'gaussian'"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spectral_density(torch.eye(3), **keywords)


def test_results_survive_saving_and_have_tables_and_pictures(tmp_path: Any) -> None:
    op = wb.curvature.ggn(build("cnn_batchnorm").problem())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        density = spectral_density(op, probes=3, steps=20)
    again = wb.load_result(density.save(tmp_path / "density.npz"))
    assert isinstance(again, SpectralDensity)
    assert again.frame().equals(density.frame())
    assert again.summary() == density.summary()
    frame = density.frame()
    assert list(frame.columns) == ["eigenvalue", "density", "stderr", "cumulative", "cumulative_stderr"]
    assert frame["cumulative"].iloc[-1] == pytest.approx(1)
    axes = density.plot()
    assert axes.get_yscale() == "log"
    assert axes.collections  # the band
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert density.plot_cumulative().get_ylim()[1] >= 1


# ---- deflation -------------------------------------------------------------------------------------------

SPIKED = np.concatenate([[-40.0, 60, 50, 40, 30, 25, 20, 15], np.linspace(-1, 1, 132), np.zeros(60)])


def test_known_pairs_become_exact_atoms() -> None:
    matrix = symmetric(SPIKED)
    pairs = wb.curvature.eigenpairs(matrix, 8, "LM", method="lanczos", tol=1e-8)
    density = spectral_density(matrix, probes=4, steps=30, deflate=pairs)
    np.testing.assert_allclose(density.atoms, np.sort(SPIKED[:8]), rtol=1e-8)
    assert density.matvecs == 4 * 30
    for nodes, weights in zip(density.ritz_values, density.weights, strict=True):
        assert abs(weights.sum() - 1) < 1e-12
        assert (np.diff(nodes) >= 0).all()
        outside = np.abs(nodes) > 1 + 1e-9
        np.testing.assert_allclose(nodes[outside], density.atoms)
        np.testing.assert_allclose(weights[outside], 1 / len(SPIKED), rtol=1e-12)
    share, stderr = density.cumulative(np.array([-2.0, 2.0]))
    np.testing.assert_allclose(share, [1 / 200, 193 / 200], rtol=1e-12)
    np.testing.assert_allclose(stderr, 0, atol=1e-12)
    assert "4 probes × 30 steps beside 8 known eigenvalues" in density.summary()


def test_a_number_of_atoms_is_searched_for_and_counted() -> None:
    matrix = symmetric(SPIKED)
    density = spectral_density(matrix, probes=2, steps=10, deflate=8)
    search = wb.curvature.eigenpairs(matrix, 8, "LM", method="lanczos")
    assert density.matvecs == search.matvecs + 2 * 10
    np.testing.assert_allclose(density.atoms, np.sort(SPIKED[:8]), rtol=1e-5)


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_the_deflated_density_is_unbiased(distribution: str) -> None:
    """Also with pairs that are no more exact than asked for."""
    matrix = symmetric(SPIKED)
    pairs = wb.curvature.eigenpairs(matrix, 8, "LM", method="lanczos", tol=1e-3)
    density = spectral_density(matrix, probes=400, steps=200, deflate=pairs, distribution=distribution)
    at = np.array([-0.9, -0.5, -0.1, -1e-6, 1e-6, 0.3, 0.8])
    share, stderr = density.cumulative(at)
    truth = np.searchsorted(np.sort(SPIKED), at, side="right") / len(SPIKED)
    assert (np.abs(share - truth) <= 4 * stderr).all()
    assert (stderr < 0.005).all()
    assert abs(density.trace - SPIKED.sum()) <= 4 * density.trace_stderr
    assert density.trace_stderr < 1
    assert abs(density.frobenius - np.sqrt((SPIKED**2).sum())) <= 4 * density.frobenius_stderr + 1e-4
    null = np.mean(np.abs(SPIKED) <= density.null_threshold)
    assert abs(density.null_mass - null) <= 4 * density.null_stderr


def test_deflation_needs_fewer_products_for_the_same_error() -> None:
    """The search for the outliers counts."""
    matrix = symmetric(SPIKED)
    at = np.linspace(-1.2, 1.2, 241)
    truth = (at[:, None] >= SPIKED).mean(axis=1)

    def figures(density: SpectralDensity) -> tuple[float, float, float]:
        error = np.abs(density.cumulative(at)[0] - truth).mean()
        return float(error), abs(density.trace - SPIKED.sum()), density.matvecs

    plain = [figures(spectral_density(matrix, 12, 16, seed=seed)) for seed in range(15)]
    deflated = [figures(spectral_density(matrix, 6, 16, deflate=8, seed=seed)) for seed in range(15)]
    plain_error, plain_trace, plain_products = np.mean(plain, axis=0)
    error, trace, products = np.mean(deflated, axis=0)
    assert products < 0.7 * plain_products
    assert error < 0.9 * plain_error
    assert trace < 0.5 * plain_trace


def test_the_stated_error_of_a_deflated_density_is_the_spread() -> None:
    matrix = symmetric(SPIKED)
    pairs = wb.curvature.eigenpairs(matrix, 8, "LM", method="lanczos")
    runs = [spectral_density(matrix, 8, 20, deflate=pairs, seed=seed) for seed in range(30)]
    spread = np.std([run.trace for run in runs], ddof=1)
    stated = np.sqrt(np.mean([run.trace_stderr**2 for run in runs]))
    assert 0.65 < stated / spread < 1.5


def test_pairs_that_did_not_converge_are_no_atoms() -> None:
    pairs = wb.curvature.eigenpairs(symmetric(SPIKED), 3, method="lanczos")
    doubtful = pairs.replace(converged=torch.tensor([True, False, True]))
    density = spectral_density(symmetric(SPIKED), probes=2, steps=20, deflate=doubtful)
    np.testing.assert_allclose(density.atoms, [40, 60], rtol=1e-5)
    assert any(abs(nodes - 50).min() < 1e-3 for nodes in density.ritz_values)


def test_deflation_of_almost_everything_and_of_what_does_not_fit() -> None:
    values = np.arange(1.0, 7)
    pairs = wb.curvature.eigenpairs(symmetric(values), 5)
    density = spectral_density(symmetric(values), probes=2, deflate=pairs)
    assert density.trace == pytest.approx(values.sum())
    with pytest.raises(ValueError, match="all 6 eigenpairs: nothing is left"):
        spectral_density(symmetric(values), deflate=wb.curvature.eigenpairs(symmetric(values), 6))
    with pytest.raises(ValueError, match="vectors of 6 entries, not of 3"):
        spectral_density(torch.eye(3), deflate=pairs)
    with pytest.raises(ValueError, match="deflate=6 is out of range: it must be from 1 to 5"):
        spectral_density(symmetric(values), deflate=6)
