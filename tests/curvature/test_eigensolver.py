"""Lanczos against matrices whose spectrum is known."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from torch import Tensor

import workbench as wb
from workbench.curvature.lanczos import Lanczos
from workbench.progress import listening


def symmetric(eigenvalues: Any, seed: int = 0) -> Tensor:
    """A dense matrix with these eigenvalues and random eigenvectors, float64."""
    values = torch.as_tensor(np.asarray(eigenvalues), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(
        torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    )
    matrix = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


N = 300
_WIGNER = np.random.default_rng(0).standard_normal((N, N))
SPECTRA = {
    "spread": np.arange(1, N + 1.0),
    "outliers over a bulk": np.concatenate([[50, 30, 29, 5], np.linspace(-1, 1, N - 4)]),
    "clustered": np.concatenate([10 + 1e-3 * np.arange(5), np.linspace(0, 1, N - 5)]),
    "negative": -np.arange(1, N + 1.0),
    "indefinite": np.concatenate([-20 * np.arange(1, 6.0), np.linspace(-1, 3, N - 5)]),
    "huge null space": np.concatenate([[5, 4, 3, -2], np.zeros(N - 4)]),
    "semicircle": np.linalg.eigvalsh(_WIGNER + _WIGNER.T),
}


def wanted(values: np.ndarray, k: int, which: str) -> np.ndarray:
    """What an eigensolver should return, said without our code."""
    ascending = np.sort(values)
    if which == "LA":
        return ascending[::-1][:k]
    if which == "SA":
        return ascending[:k]
    if which == "LM":
        return ascending[np.argsort(-np.abs(ascending), kind="stable")][:k]
    return np.concatenate([ascending[::-1][: (k + 1) // 2], ascending[: k // 2][::-1]])


@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
@pytest.mark.parametrize("name", SPECTRA)
def test_known_spectra(name: str, which: str) -> None:
    matrix = symmetric(SPECTRA[name])
    pairs = wb.curvature.eigenpairs(matrix, 5, which, method="lanczos", tol=1e-6, max_matvecs=1000)
    assert pairs.method == "lanczos"
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, wanted(SPECTRA[name], 5, which), rtol=1e-9, atol=1e-10)
    image = matrix @ pairs.vectors
    residuals = (image - pairs.vectors * pairs.values).norm(dim=0)
    torch.testing.assert_close(pairs.residuals, residuals, rtol=1e-3, atol=1e-13)
    assert (residuals <= torch.clamp(1e-6 * pairs.values.abs(), min=pairs.floor)).all()
    torch.testing.assert_close(
        pairs.vectors.T @ pairs.vectors, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-12
    )
    assert pairs.asymmetry < 1e-13


@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
def test_dense_and_lanczos_agree_on_a_network(which: str) -> None:
    op = wb.curvature.hessian(build("layernorm_attention").problem())
    dense = wb.curvature.eigenpairs(op, 6, which)
    assert (dense.method, dense.matvecs) == ("dense", op.shape[0])
    search = wb.curvature.eigenpairs(op, 6, which, method="lanczos", tol=1e-8)
    torch.testing.assert_close(search.values, dense.values, rtol=1e-9, atol=1e-12)
    overlap = (search.vectors * dense.vectors).sum(dim=0)
    torch.testing.assert_close(overlap, torch.ones(6, dtype=torch.float64), rtol=0, atol=1e-6)


def test_float32_products_suffice_for_the_tolerance() -> None:
    matrix = symmetric(SPECTRA["outliers over a bulk"])
    pairs = wb.curvature.eigenpairs(matrix.float(), 5, method="lanczos")
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, wanted(SPECTRA["outliers over a bulk"], 5, "LA"), rtol=1e-5)
    assert 1e-9 < pairs.asymmetry < 1e-5


def test_k_above_the_rank_finds_zeros() -> None:
    values = np.concatenate([[5.0, 4, 3], np.zeros(N - 3)])
    pairs = wb.curvature.eigenpairs(symmetric(values), 8, method="lanczos")
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, [5, 4, 3, 0, 0, 0, 0, 0], atol=1e-10)
    torch.testing.assert_close(pairs.vectors.T @ pairs.vectors, torch.eye(8, dtype=torch.float64))


def test_repeated_eigenvalues_are_all_found_behind_an_invariant_subspace() -> None:
    values = np.repeat([3.0, 2.0, -1.0], N // 3)
    pairs = wb.curvature.eigenpairs(symmetric(values), 6, method="lanczos")
    np.testing.assert_allclose(pairs.values, np.full(6, 3.0), rtol=1e-10)
    assert pairs.converged.all()


def test_dense_lists_repeated_eigenvalues() -> None:
    values = np.concatenate([[9.0, 9.0], np.arange(1.0, 9.0)])
    pairs = wb.curvature.eigenpairs(symmetric(values), 3)
    np.testing.assert_allclose(pairs.values, [9, 9, 8], rtol=1e-12)


@pytest.mark.parametrize("k", [1, 7, 8])
def test_all_pairs_of_a_small_matrix(k: int) -> None:
    values = np.arange(1.0, 9.0)
    for method in ("lanczos", "dense"):
        pairs = wb.curvature.eigenpairs(symmetric(values), k, method=method)
        np.testing.assert_allclose(pairs.values, values[::-1][:k], rtol=1e-6)
        assert pairs.converged.all()


def test_zero_and_one_by_one_matrices() -> None:
    zero = wb.curvature.eigenpairs(torch.zeros(5, 5), 2, method="lanczos")
    assert zero.values.tolist() == [0, 0]
    assert zero.converged.all()
    assert wb.curvature.eigenpairs(torch.tensor([[-3.0]]), 1, method="lanczos").values.tolist() == [-3]


def test_restarts_keep_the_basis_orthonormal_and_find_a_slow_spectrum() -> None:
    """A dense edge needs far more products than the basis holds vectors (3 k + 60 = 63)."""
    values = 1 - np.linspace(0, 1, 400) ** 2
    pairs = wb.curvature.eigenpairs(_Diagonal(values), 2, method="lanczos", tol=1e-7, max_matvecs=2000)
    assert pairs.matvecs > 200
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, values[:2], rtol=0, atol=1e-10)
    torch.testing.assert_close(pairs.vectors.T @ pairs.vectors, torch.eye(2, dtype=torch.float64))


def test_no_ghost_copies() -> None:
    """After 100 steps: one Ritz value at the top with reorthogonalisation, several without it."""
    matrix = symmetric(np.concatenate([[100.0], np.linspace(0, 1, 299)]), seed=1).float()
    start = torch.randn(N, generator=torch.Generator().manual_seed(0))
    process = Lanczos(start, 100, torch.finfo(torch.float32).eps)
    for _ in range(100):
        process.absorb(matrix @ process.newest)
    assert (process.ritz()[0] > 99).sum() == 1
    assert (process.basis @ process.basis.T - torch.eye(100)).norm() < 1e-5

    diagonal, off = [], []
    vector, previous, beta = start / start.norm(), torch.zeros(N), 0.0
    for _ in range(100):  # textbook Lanczos
        image = matrix @ vector - beta * previous
        diagonal.append((image @ vector).item())
        image = image - diagonal[-1] * vector
        beta = image.norm().item()
        off.append(beta)
        previous, vector = vector, image / beta
    plain = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off[:-1], 1) + np.diag(off[:-1], -1))
    assert (plain > 99).sum() >= 2


def test_estimated_residuals_are_the_true_ones() -> None:
    matrix = symmetric(SPECTRA["semicircle"])
    process = Lanczos(torch.ones(N, dtype=torch.float64), 40, 2e-16)
    for _ in range(40):
        process.absorb(matrix @ process.newest)
    values, coordinates, estimates = process.ritz()
    vectors = process.vectors(coordinates)
    true = (vectors @ matrix - torch.from_numpy(values)[:, None] * vectors).norm(dim=1)
    np.testing.assert_allclose(estimates, true, rtol=1e-8, atol=1e-10)
    projected = process.basis @ matrix @ process.basis.T
    np.testing.assert_allclose(process.projected, projected, atol=1e-10)


# ---- blocks and warm starts ------------------------------------------------------------------------------


def test_a_block_lists_a_repeated_eigenvalue_as_often_as_it_is_wide() -> None:
    values = np.concatenate([np.arange(1.0, N - 1), [N, N]])
    values[-3] = N  # three times the largest
    alone = wb.curvature.eigenpairs(_Diagonal(values), 5, method="lanczos", tol=1e-6)
    assert (np.abs(alone.values.numpy() - N) < 1e-6).sum() == 1
    pairs = wb.curvature.eigenpairs(
        _Diagonal(values), 5, method="lanczos", tol=1e-6, block=3, max_matvecs=2000
    )
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, np.sort(values)[::-1][:5], rtol=1e-10)
    torch.testing.assert_close(pairs.vectors.T @ pairs.vectors, torch.eye(5, dtype=torch.float64))


@pytest.mark.parametrize("block", [2, 5])
@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
@pytest.mark.parametrize("name", ["clustered", "indefinite", "huge null space"])
def test_blocks_find_known_spectra(name: str, which: str, block: int) -> None:
    matrix = symmetric(SPECTRA[name])
    pairs = wb.curvature.eigenpairs(
        matrix, 5, which, method="lanczos", tol=1e-6, max_matvecs=2000, block=block
    )
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, wanted(SPECTRA[name], 5, which), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(
        pairs.vectors.T @ pairs.vectors, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-12
    )
    residuals = (matrix @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    torch.testing.assert_close(pairs.residuals, residuals, rtol=1e-3, atol=1e-12)


def test_restarted_blocks_find_a_slow_spectrum() -> None:
    values = 1 - np.linspace(0, 1, 400) ** 2
    pairs = wb.curvature.eigenpairs(
        _Diagonal(values), 2, method="lanczos", tol=1e-7, max_matvecs=4000, block=4
    )
    assert pairs.matvecs > 200
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, values[:2], rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [7, 63, 64, 65])  # the basis holds 63 vectors
def test_blocks_that_do_not_divide_the_matrix(size: int) -> None:
    values = np.repeat([3.0, 1.0], [size // 2, size - size // 2])
    pairs = wb.curvature.eigenpairs(_Diagonal(values), 1, method="lanczos", block=5)
    assert pairs.values[0] == pytest.approx(3)
    every = wb.curvature.eigenpairs(_Diagonal(values), size, method="lanczos", block=5)
    np.testing.assert_allclose(every.values, np.sort(values)[::-1], atol=1e-10)


def test_partly_absorbed_blocks_have_true_residuals_also_after_a_restart() -> None:
    matrix = symmetric(SPECTRA["semicircle"])
    start = torch.randn(3, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    process = Lanczos(start, 40, 2e-16)
    for count in (20, 34):
        while process.size < count:  # neither is a multiple of 3
            process.absorb(matrix @ process.newest)
        assert len(process.pending) == 3
        values, coordinates, estimates = process.ritz()
        vectors = process.vectors(coordinates)
        true = (vectors @ matrix - torch.from_numpy(values)[:, None] * vectors).norm(dim=1)
        np.testing.assert_allclose(estimates, true, rtol=1e-8, atol=1e-10)
        projected = process.basis @ matrix @ process.basis.T
        np.testing.assert_allclose(process.projected, projected, atol=1e-10)
        process.restart(values[-8:], coordinates[:, -8:])
    assert process.asymmetry < 1e-13


@pytest.mark.parametrize("block", [1, 3])
def test_a_start_from_a_neighbour_needs_fewer_products(block: int) -> None:
    """Where a cold search is long."""
    matrix = symmetric(SPECTRA["semicircle"])
    near = matrix + 1e-4 * symmetric(SPECTRA["semicircle"], seed=1)
    truth = torch.linalg.eigvalsh(near).flip(0)[:3]
    before = wb.curvature.eigenpairs(matrix, 3, method="lanczos", tol=1e-6)
    counts: dict[str, list[int]] = {"cold": [], "warm": []}
    for seed in range(3):
        for name, start in (("cold", None), ("warm", before)):
            pairs = wb.curvature.eigenpairs(
                near, 3, method="lanczos", tol=1e-5, block=block, seed=seed, start=start, max_matvecs=900
            )
            counts[name].append(pairs.matvecs)
            torch.testing.assert_close(pairs.values, truth, rtol=1e-8, atol=0)
    assert max(counts["warm"]) < min(counts["cold"])


def test_a_start_takes_vectors_matrices_and_pairs() -> None:
    matrix = symmetric(SPECTRA["semicircle"])
    pairs = wb.curvature.eigenpairs(matrix, 3, method="lanczos", tol=1e-6)
    as_matrix, as_pairs = (
        wb.curvature.eigenpairs(matrix, 3, method="lanczos", start=start)
        for start in (3 * pairs.vectors, pairs)
    )
    torch.testing.assert_close(as_matrix.vectors, as_pairs.vectors, rtol=0, atol=1e-6)
    assert as_matrix.matvecs == as_pairs.matvecs < pairs.matvecs


@pytest.mark.parametrize("block", [1, 2])
def test_a_wrong_start_hides_nothing(block: int) -> None:
    """Exact eigenvectors, but not the wanted ones: their residuals are zero from the first step."""
    values = SPECTRA["outliers over a bulk"]
    vectors = torch.linalg.eigh(symmetric(values))[1]
    pairs = wb.curvature.eigenpairs(
        symmetric(values), 3, method="lanczos", start=vectors[:, -5:-1], block=block
    )
    np.testing.assert_allclose(pairs.values, [50, 30, 29], rtol=1e-5)


def test_a_start_that_does_not_fit_is_refused() -> None:
    for start, message in (
        (torch.ones(4), r"start of shape \(4,\) does not fit: pass \(5,\) or \(5, m\)"),
        (torch.zeros(5, 2), "zero or not finite"),
        (torch.full((5,), torch.nan), "zero or not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            wb.curvature.eigenpairs(torch.eye(5), 2, start=start)
    with pytest.raises(TypeError, match="start is a list"):
        wb.curvature.eigenpairs(torch.eye(5), 2, start=[1.0] * 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["LA", "BE"])
def test_a_start_from_earlier_eigenvectors_finds_what_there_is(which: str) -> None:
    values = SPECTRA["indefinite"]
    before = wb.curvature.eigenpairs(symmetric(values), 4, which, method="lanczos")
    matrix = symmetric(values) + 0.05 * symmetric(SPECTRA["semicircle"], seed=1)
    for start in (before, before.vectors[:, 0]):
        pairs = wb.curvature.eigenpairs(matrix, 4, which, method="lanczos", tol=1e-8, start=start)
        assert pairs.converged.all()
        truth = wanted(torch.linalg.eigvalsh(matrix).numpy(), 4, which)
        np.testing.assert_allclose(pairs.values, truth, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_start_at_an_old_eigenvector_does_not_hide_a_new_larger_one(seed: int) -> None:
    """The old vector is an exact eigenvector, orthogonal to the new one, so it converges at once."""
    values = np.concatenate([[9.9, 10.1], np.random.default_rng(seed).uniform(0, 1, 2998)])
    start = torch.zeros(3000, dtype=torch.float64)
    start[0] = 1
    pairs = wb.curvature.eigenpairs(_Diagonal(values), 1, method="lanczos", start=start, seed=seed)
    assert pairs.values.item() == pytest.approx(10.1, rel=1e-5)


# ---- honesty ---------------------------------------------------------------------------------------------


class _Diagonal:
    """A foreign operator: NumPy vectors, one at a time."""

    dtype = np.float64

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, (len(values), len(values))

    def __matmul__(self, vector: np.ndarray) -> np.ndarray:
        assert vector.ndim == 1
        return self.values * vector


def test_what_did_not_converge_says_so() -> None:
    with pytest.warns(RuntimeWarning, match="eigenpairs did not converge to tol=1e-06 within 20 products"):
        pairs = wb.curvature.eigenpairs(symmetric(SPECTRA["semicircle"]), 4, tol=1e-6, max_matvecs=20)
    assert pairs.method == "lanczos"  # fewer products than columns
    assert pairs.matvecs == 20
    assert not pairs.converged.all()
    assert "NOT CONVERGED" in pairs.summary()
    labels = [text.get_text() for text in pairs.plot().get_legend().get_texts()]
    assert any("NOT converged" in label for label in labels)
    nearest = np.abs(SPECTRA["semicircle"][:, None] - pairs.values.numpy()).min(axis=0)
    assert (nearest <= pairs.residuals.numpy()).all()  # what a residual norm promises


def test_an_asymmetric_operator_is_noticed() -> None:
    matrix = symmetric(SPECTRA["outliers over a bulk"])
    skew = torch.randn(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    skew = skew - skew.T
    wrong = matrix + 0.5 * skew / torch.linalg.matrix_norm(skew, 2)
    for method in ("lanczos", "dense"):
        with pytest.warns(RuntimeWarning) as caught:
            pairs = wb.curvature.eigenpairs(wrong, 3, method=method)
        assert "not symmetric" in str(caught[0].message)
        assert not pairs.converged.all()  # its eigenvectors are none of the symmetric part
        assert pairs.asymmetry > 1e-3
    with pytest.warns(RuntimeWarning, match="not symmetric"):
        wb.curvature.spectral_density(wrong, probes=2, steps=10)


def test_the_asymmetry_is_the_projected_one() -> None:
    matrix = symmetric(SPECTRA["semicircle"])
    matrix = matrix + 0.01 * torch.triu(torch.ones(N, N, dtype=torch.float64))
    process = Lanczos(torch.ones(N, dtype=torch.float64), 30, 2e-16)
    for _ in range(30):
        process.absorb(matrix @ process.newest)
    skew = process.basis @ (matrix - matrix.T) @ process.basis.T
    expected = torch.linalg.matrix_norm(skew, 2).item() / process.norm
    assert process.asymmetry == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("block", "products"), [(1, 25), (4, 24)])
def test_an_interrupt_returns_what_is_there(block: int, products: int) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == products:
            raise KeyboardInterrupt

    matrix = symmetric(SPECTRA["outliers over a bulk"])
    with listening(interrupt), warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = wb.curvature.eigenpairs(matrix, 6, method="lanczos", tol=1e-6, block=block)
    assert pairs.interrupted
    assert pairs.matvecs == products
    assert pairs.converged.any()
    assert not pairs.converged.all()
    assert "interrupted" in pairs.summary()
    residuals = (matrix @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    torch.testing.assert_close(pairs.residuals, residuals, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("at", [63, 64, 70])  # the basis is full at 63, and then shrunk
def test_an_interrupt_around_a_restart_tells_the_truth(at: int) -> None:
    class Stops(_Diagonal):
        count = 0

        def __matmul__(self, vector: np.ndarray) -> np.ndarray:
            self.count += 1
            if self.count > at:
                raise KeyboardInterrupt
            return super().__matmul__(vector)

    values = 1 - np.linspace(0, 1, 400) ** 2
    pairs = wb.curvature.eigenpairs(Stops(values), 1, method="lanczos", tol=1e-7)
    assert pairs.interrupted
    assert pairs.matvecs == at
    vector = pairs.vectors[:, 0].numpy()
    true = np.linalg.norm(values * vector - pairs.values.numpy() * vector)
    assert pairs.residuals[0].item() == pytest.approx(true, rel=1e-6)
    assert not pairs.converged.any()


def test_an_interrupt_before_anything_is_there_is_passed_on() -> None:
    class Stops(_Diagonal):
        def __matmul__(self, vector: np.ndarray) -> np.ndarray:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wb.curvature.eigenpairs(Stops(np.ones(10)), 2, method="lanczos")


def test_the_seed_and_nothing_else_decides() -> None:
    matrix = symmetric(SPECTRA["semicircle"])
    torch.manual_seed(1)
    first = wb.curvature.eigenpairs(matrix, 3, method="lanczos", seed=5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = wb.curvature.eigenpairs(matrix, 3, method="lanczos", seed=5)
    blocks = [wb.curvature.eigenpairs(matrix, 3, method="lanczos", seed=5, block=2) for _ in range(2)]
    assert torch.equal(blocks[0].vectors, blocks[1].vectors)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.vectors, second.vectors)
    other = wb.curvature.eigenpairs(matrix, 3, method="lanczos", seed=6)
    assert not torch.equal(first.vectors, other.vectors)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"k": 301}, "k=301 is out of range: it must be from 1 to 300"),
        ({"k": 0}, "k=0"),
        ({"which": "LAM"}, "which='LAM' is not one of 'LA', 'SA', 'LM', 'BE'; did you mean"),
        ({"method": "lancsoz"}, "did you mean 'lanczos'"),
        ({"tol": 0.0}, "tol=0.0 is out of range"),
        ({"max_matvecs": 5}, "max_matvecs=5 is out of range: it must be at least 20"),
        ({"seed": -1}, "seed=-1"),
        ({"block": 0}, "block=0"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wb.curvature.eigenpairs(torch.eye(300), **keywords)


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match=r"k=2.5 is a float, not a whole number"):
        wb.curvature.eigenpairs(torch.eye(3), 2.5)  # type: ignore[arg-type]


def test_products_that_are_not_finite_are_refused() -> None:
    broken = torch.eye(10)
    broken[0, 0] = torch.nan
    for method in ("dense", "lanczos"):
        with pytest.raises(ValueError, match="not finite"):
            wb.curvature.eigenpairs(broken, 2, method=method)


# ---- the result ------------------------------------------------------------------------------------------


def test_layer_mass_is_the_share_of_the_squared_norm() -> None:
    problem = build("several_heads").problem()
    pairs = wb.curvature.eigenpairs(wb.curvature.ggn(problem), 3)
    mass = pairs.layer_mass()
    assert list(mass.columns) == ["index", "eigenvalue", "parameter", "share"]
    assert len(mass) == 3 * len(problem.layout)
    np.testing.assert_allclose(mass.groupby("index")["share"].sum(), 1, rtol=1e-12)
    part = problem.layout[2]
    expected = pairs.vectors[part.start : part.stop, 1].square().sum().item()
    row = mass[(mass["index"] == 2) & (mass["parameter"] == part.name)]
    np.testing.assert_allclose(row["share"], expected)
    labels = [text.get_text() for text in pairs.plot_layer_mass().get_yticklabels()]
    assert labels == [part.name for part in problem.layout]


def test_layer_mass_without_a_layout_is_one_row_per_vector() -> None:
    mass = wb.curvature.eigenpairs(torch.eye(4), 2).layer_mass()
    assert mass["parameter"].tolist() == ["all", "all"]
    np.testing.assert_allclose(mass["share"], 1)


def test_pairs_survive_saving(tmp_path: Any) -> None:
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(build("mlp").problem()), 4, "BE")
    again = wb.load_result(pairs.save(tmp_path / "pairs.npz"))
    assert isinstance(again, wb.curvature.Eigenpairs)
    assert torch.equal(again.vectors, pairs.vectors)
    assert again.frame().equals(pairs.frame())
    assert again.layer_mass().equals(pairs.layer_mass())
    assert again.summary() == pairs.summary()
    assert "all converged" in pairs._repr_html_()


def test_the_plot_shows_values_residuals_and_names() -> None:
    pairs = wb.curvature.eigenpairs(symmetric(SPECTRA["spread"]), 5)
    axes = pairs.plot()
    container = axes.containers[0]
    np.testing.assert_allclose(np.asarray(container.lines[0].get_ydata(), dtype=float), pairs.values)
    assert axes.get_xlabel()
    assert "eigenvalue" in axes.get_ylabel()
