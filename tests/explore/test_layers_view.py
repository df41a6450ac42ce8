"""The tab of layers shows shares and blocks of the dense matrix."""

import numpy as np
import torch

import workbench as wb


def test_run_shows_shares_and_blocks(classifier, run):
    explorer = run(classifier, "Layers", k=3, operator="ggn")
    heatmap, bars, whole = explorer.figure.data
    dense = wb.curvature.ggn(classifier).dense().double()
    values, vectors = torch.linalg.eigh((dense + dense.T) / 2)
    layers = {"0": slice(0, 25), "2": slice(25, 43)}
    assert list(heatmap.y) == list(bars.y) == list(layers)
    for row, (place, largest) in enumerate(zip(layers.values(), bars.x, strict=True)):
        block = torch.linalg.eigvalsh(dense[place, place])[-1].item()
        np.testing.assert_allclose(largest, block, rtol=1e-3)
        shares = vectors[place, -3:].flip(1).square().sum(dim=0)
        np.testing.assert_allclose(heatmap.z[row], shares, atol=1e-3)
    np.testing.assert_allclose(whole.x, values[-1].item(), rtol=1e-3)


def test_smallest_eigenvalues_leave_out_the_line_of_the_largest(classifier, run):
    explorer = run(classifier, "Layers", k=2, which="SA")
    assert explorer.results["layers"].pairs.which == "SA"
    assert not explorer.figure.data[2].x


def test_the_code_gives_the_same_results(classifier, run):
    explorer = run(classifier, "Layers", k=3)
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace["layers"].frame().equals(explorer.results["layers"].frame())
