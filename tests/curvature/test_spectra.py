"""The whole spectrum in one call, against dense matrices."""

from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from test_eigensolver import symmetric

import workbench as wb
from workbench.curvature import spectrum
from workbench.progress import listening

N = 150
_NOISE = np.random.default_rng(0).standard_normal((N, N))
PLANTED = np.concatenate([[9, 7, 6, 5, 4], np.linalg.eigvalsh(_NOISE + _NOISE.T)[5:] / np.sqrt(8 * N)])


def test_every_figure_of_a_planted_spectrum() -> None:
    found = spectrum(symmetric(PLANTED), probes=20, steps=40)
    assert found.outliers == 5
    descending = np.sort(PLANTED)[::-1]
    np.testing.assert_allclose(found.top.values[:5], descending[:5], rtol=1e-5)
    edge, residual = found.bulk_edge
    assert abs(edge - descending[5]) <= residual + 1e-9
    smallest, smallest_residual = found.smallest.values[0].item(), found.smallest.residuals[0].item()
    assert abs(smallest - PLANTED.min()) <= smallest_residual
    assert smallest_residual <= 1e-3 * (9 - PLANTED.min())
    density = found.density
    assert len(density.atoms) >= 5
    assert abs(density.trace - PLANTED.sum()) <= 4 * density.trace_stderr
    assert abs(density.frobenius - np.sqrt((PLANTED**2).sum())) <= 4 * density.frobenius_stderr
    assert found.gauss_newton is None
    assert not len(found.angles)
    assert found.matvecs == found.top.matvecs == found.smallest.matvecs == density.matvecs
    assert not found.interrupted
    table = found.frame().set_index("quantity")
    assert table.loc["outlier 5", "value"] == pytest.approx(4, rel=1e-5)
    assert table.loc["bulk edge", "value"] == edge
    assert set(table["kind"]) == {"residual", "standard error"}
    assert "5 outliers from 9 to 4" in found.summary()


def test_products_are_counted_as_they_are_made() -> None:
    class Counts:
        dtype, shape = np.float64, (N, N)
        products = 0

        def __matmul__(self, vector: np.ndarray) -> np.ndarray:
            self.products += 1
            return PLANTED * vector

    matrix = Counts()
    assert spectrum(matrix, k=8, probes=2, steps=10).matvecs == matrix.products


def test_nothing_stands_out_of_a_bulk_and_negative_matrices_have_edges() -> None:
    values = -1 - np.arange(N) / N
    found = spectrum(symmetric(values), k=10, probes=2, steps=20)
    assert found.outliers == 0
    assert found.bulk_edge[0] == pytest.approx(-1, abs=1e-5)
    assert found.smallest.values[0].item() == pytest.approx(values.min(), abs=2e-3)
    assert "no wide gap among the 6 largest" in found.summary()


@pytest.mark.parametrize(
    ("k", "words"), [(8, "no wide gap among the 4 largest"), (4, "too few certain to tell outliers")]
)
def test_few_eigenvalues_do_not_deny_outliers_below_them(k: int, words: str) -> None:
    found = spectrum(symmetric(PLANTED), k=k, probes=2, steps=20)
    assert found.outliers == 0
    assert words in found.summary()
    assert "edge" not in found.summary()
    assert "edge of the bulk" not in found.plot().get_legend_handles_labels()[1]
    assert "bulk edge" not in set(found.frame()["quantity"])


def test_a_hessian_is_compared_with_its_gauss_newton_matrix() -> None:
    problem = build("mlp").problem()
    found = spectrum(problem, k=8, probes=2, steps=20, tol=1e-6, layers=True)
    hessian = wb.curvature.hessian(problem).dense()
    ggn = wb.curvature.ggn(problem).dense()
    count = max(found.outliers, 1)
    ours, theirs = (torch.linalg.eigh(matrix)[1].flip(1)[:, :count] for matrix in (hessian, ggn))
    angles = torch.rad2deg(torch.arccos(torch.linalg.svdvals(ours.T @ theirs).clamp(max=1)))
    assert found.angles_bound < 1
    np.testing.assert_allclose(found.angles, angles, atol=found.angles_bound + 1e-5)
    assert set(found.layers) == {part.name.rpartition(".")[0] for part in problem.layout}
    for layer, pairs in found.layers.items():
        places = torch.cat(
            [torch.arange(p.start, p.stop) for p in problem.layout if p.name.startswith(f"{layer}.")]
        )
        largest = torch.linalg.eigvalsh(hessian[places][:, places])[-1].item()
        assert pairs.values[0].item() == pytest.approx(largest, rel=1e-5)
    parts = [found.top, found.gauss_newton, *found.layers.values()]
    assert found.matvecs == sum(part.matvecs for part in parts)


def test_mass_of_layers() -> None:
    found = spectrum(build("mlp").problem(), k=8, probes=2, steps=10)
    mass = found.layer_mass()
    assert len(mass) == max(found.outliers, 1)
    np.testing.assert_allclose(mass.sum(axis=1), 1, rtol=1e-6)
    name = mass.columns[0]
    squares = [
        found.top.vectors[start:stop, 0].square().sum().item()
        for part, start, stop in found.top.layout
        if part.rpartition(".")[0] == name
    ]
    assert mass.iloc[0, 0] == pytest.approx(sum(squares))


def test_the_bound_on_angles_holds_for_rough_vectors() -> None:
    """Searches with a loose tolerance, against the angles of exact vectors."""
    problem = build("layernorm_attention").problem()
    exact = spectrum(problem, k=10, probes=2, steps=5, tol=1e-8)
    rough = [spectrum(problem, k=10, probes=2, steps=5, tol=0.1, seed=seed) for seed in range(4)]
    rough = [found for found in rough if found.outliers == exact.outliers]
    assert rough
    for found in rough:
        error = np.abs(found.angles - exact.angles)
        assert (error <= found.angles_bound + exact.angles_bound).all()
    assert max(np.abs(found.angles - exact.angles).max() for found in rough) > exact.angles_bound


def test_one_eigenvalue_is_a_spectrum_too() -> None:
    found = spectrum(build("mlp").problem(), k=1, probes=2, steps=5)
    assert found.outliers == 0
    assert not len(found.angles)
    assert found.bulk_edge[0] == found.top.values[0].item()


@pytest.mark.parametrize("stage", ["Krylov space", "Lanczos products"])
def test_an_interrupt_keeps_what_is_done(stage: str) -> None:
    problem = build("mlp").problem()

    def interrupt(description: str, done: int, total: int | None) -> None:
        if description == stage and done >= 5:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = spectrum(problem, k=8, probes=2, steps=7, tol=1e-9)
    assert found.interrupted
    assert "interrupted" in found.summary()
    assert len(found.top.values) == 8
    assert found.density.steps == {"Krylov space": 5, "Lanczos products": 7}[stage]
    assert found.gauss_newton is None
    found.frame()
    found.plot()


@pytest.mark.parametrize(
    ("source", "keywords", "message"),
    [
        (torch.eye(9), {"k": 0}, "k=0"),
        (torch.eye(9), {"probes": 0}, "probes=0"),
        (torch.eye(9), {"steps": 0}, "steps=0"),
        (torch.eye(9), {"tol": 2.0}, "tol=2.0"),
        (torch.eye(1), {}, "has no bulk"),
        (torch.eye(9), {"layers": True}, "does not know which parameter stands where"),
    ],
)
def test_bad_arguments_are_refused(source: Any, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spectrum(source, **keywords)


def test_a_spectrum_survives_saving_and_has_a_picture(tmp_path: Any) -> None:
    found = spectrum(build("mlp").problem(), k=8, probes=2, steps=10, layers=True)
    again = wb.load_result(found.save(tmp_path / "spectrum.npz"))
    assert isinstance(again, wb.curvature.Spectrum)
    assert again.summary() == found.summary()
    assert again.frame().equals(found.frame())
    assert again.layer_mass().equals(found.layer_mass())
    assert torch.equal(again.gauss_newton.vectors, found.gauss_newton.vectors)
    labels = [text.get_text() for text in found.plot().get_legend().get_texts()]
    assert "edge of the bulk" in labels
