"""Sums, multiples and blocks of operators against the same of dense matrices."""

import pytest
import torch
from curvature_cases import build
from torch import Tensor

import workbench as wb
from workbench.curvature.operators import CurvatureOperator, Deflated, as_operator

CASE = "cnn_batchnorm"


def dense(op: CurvatureOperator) -> Tensor:
    return op @ torch.eye(op.shape[0], dtype=torch.float64)


def test_sums_multiples_and_shifts() -> None:
    problem = build(CASE).problem()
    h, g = wb.curvature.hessian(problem), wb.curvature.ggn(problem)
    expected = 2 * dense(h) - dense(g) / 3 - 0.5 * torch.eye(h.shape[0], dtype=torch.float64)
    combined = 2 * h - (g * (1 / 3) + 0.5 * wb.curvature.identity(h))
    torch.testing.assert_close(dense(combined), expected)
    torch.testing.assert_close(dense(-combined), -expected)
    assert combined.layout == h.layout
    assert "2 × (loss)" in combined.terms


def test_a_combination_solves_and_takes_other_matrices() -> None:
    problem = build("mlp").problem()
    h = wb.curvature.hessian(problem)
    extra = torch.diag(torch.arange(h.shape[0], dtype=torch.float64))
    combined = h + extra
    truth = torch.linalg.eigvalsh(dense(h) + extra)[-2:].flip(0)
    torch.testing.assert_close(wb.curvature.eigenpairs(combined, 2).values, truth)


def test_numbers_and_other_sizes_are_refused() -> None:
    h = wb.curvature.hessian(build("mlp").problem())
    with pytest.raises(TypeError):
        h + 1.0  # type: ignore[operator]
    with pytest.raises(TypeError):
        h * "2"  # type: ignore[operator]
    with pytest.raises(ValueError, match="different sizes"):
        h + torch.eye(3)


@pytest.mark.parametrize("kind", ["problem", "combination"])
def test_restriction_is_a_principal_submatrix(kind: str) -> None:
    h = wb.curvature.hessian(build(CASE).problem())
    op = h if kind == "problem" else h + torch.eye(h.shape[0], dtype=torch.float64)
    places = torch.cat([torch.arange(p.start, p.stop) for p in h.layout if p.name.startswith(("0.", "6."))])
    restricted = op.restrict(["0.*", "6.*"])
    torch.testing.assert_close(dense(restricted), dense(op)[places][:, places])
    assert [part.name for part in restricted.layout] == ["0.weight", "0.bias", "6.weight", "6.bias"]
    with pytest.raises(ValueError, match="no parameter matches '7"):
        op.restrict("7.*")


def test_block_diagonal_by_layer() -> None:
    h = wb.curvature.hessian(build(CASE).problem())
    layer = {part.name: part.name.rpartition(".")[0] for part in h.layout}
    owner = [layer[part.name] for part in h.layout for _ in range(part.stop - part.start)]
    same = torch.tensor([[a == b for b in owner] for a in owner])
    torch.testing.assert_close(dense(h.block_diagonal()), torch.where(same, dense(h), 0))
    with pytest.raises(ValueError, match="no layers"):
        wb.curvature.operators.as_operator(torch.eye(3)).block_diagonal()


def test_a_deflated_operator_is_zero_on_the_vectors_and_the_matrix_beside_them() -> None:
    matrix = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = matrix + matrix.T
    vectors = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    complement = torch.eye(12, dtype=torch.float64) - vectors @ torch.linalg.pinv(vectors)
    op = Deflated(as_operator(matrix), vectors)
    torch.testing.assert_close(dense(op), complement @ matrix @ complement)
    torch.testing.assert_close(op.project(vectors), torch.zeros_like(vectors), rtol=0, atol=1e-13)
