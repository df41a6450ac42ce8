"""Blocks of layers and layers' shares against dense matrices."""

from pathlib import Path

import numpy as np
import pytest
import torch
from curvature_cases import build

import workbench as wb
from workbench.curvature import eigenpairs, ggn, hessian, layer_curvature
from workbench.progress import listening


def layers_of(problem: wb.Problem) -> dict[str, list[int]]:
    """Entries of a vector that belong to each layer."""
    found: dict[str, list[int]] = {}
    for part in problem.layout:
        found.setdefault(part.name.rpartition(".")[0], []).extend(range(part.start, part.stop))
    return found


@pytest.mark.parametrize("make", [hessian, ggn])
def test_blocks_and_shares_are_those_of_the_dense_matrix(make) -> None:
    problem = build("cnn_batchnorm").problem()
    dense = make(problem).dense()
    values, vectors = torch.linalg.eigh((dense + dense.T) / 2)
    found = layer_curvature(make(problem), k=3, tol=1e-8)
    layers = layers_of(problem)
    assert list(found.blocks) == list(layers) == list(found.shares)
    frame = found.frame().set_index("layer")
    for layer, entries in layers.items():
        block = dense[entries][:, entries]
        largest = torch.linalg.eigvalsh((block + block.T) / 2)[-1].item()
        assert frame["largest"][layer] == pytest.approx(largest, rel=1e-6, abs=1e-9)
        assert frame["largest"][layer] <= found.largest * (1 + 1e-9)
        for rank in (1, 2, 3):
            share = vectors[entries, -rank].square().sum().item()
            assert frame[f"share_{rank}"][layer] == pytest.approx(share, abs=1e-6)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    assert found.pairs.values[0].item() == pytest.approx(values[-1].item())


def test_pairs_that_are_there_are_taken() -> None:
    problem = build("mlp").problem()
    matrix = hessian(problem)
    pairs = eigenpairs(matrix, 2, "SA")
    found = layer_curvature(matrix, pairs=pairs)
    assert found.pairs is pairs
    assert found.largest is None
    assert layer_curvature(problem, 4).shares.shape[0] == 4
    with pytest.raises(ValueError, match="vectors have 43 entries"):
        layer_curvature(problem.restrict("0.*"), pairs=pairs)


def test_a_matrix_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="so it has no layers"):
        layer_curvature(torch.eye(5))
    with pytest.raises(ValueError, match="k=44 is out of range"):
        layer_curvature(build("mlp").problem(), 44)


def test_an_interrupt_returns_the_layers_so_far(tmp_path: Path) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description == "layers" and done == 1:
            raise KeyboardInterrupt

    problem = build("mlp").problem()
    pairs = eigenpairs(hessian(problem), 2)
    with listening(interrupt):
        found = layer_curvature(problem, pairs=pairs)
    assert found.interrupted
    assert len(found.blocks) == 1
    assert "interrupted" in found.summary()
    assert found.frame()["largest"].isna().sum() == 1
    found.plot()
    found.plot_blocks()
    assert wb.load_result(found.save(tmp_path / "layers.npz")).frame().equals(found.frame())


def test_the_plots_show_the_numbers() -> None:
    found = layer_curvature(build("mlp").problem(), 3)
    axes = found.plot()
    np.testing.assert_allclose(axes.images[0].get_array(), found.shares.T)
    assert f"({found.frame()['largest'][0]:.3g})" in axes.get_yticklabels()[0].get_text()
    bars = found.plot_blocks().containers[-1].patches
    np.testing.assert_allclose([bar.get_width() for bar in bars], found.frame()["largest"])
    assert f"{found.frame()['largest'].max():.4g}" in found.summary()
