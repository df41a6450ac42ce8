"""Outliers against classes: planted outliers are counted, angles and values are those of dense matrices."""

from pathlib import Path

import numpy as np
import pytest
import torch
from curvature_cases import build
from torch import nn

import workbench as wb
from workbench.curvature import class_outliers, class_structure, ggn, has_classes
from workbench.progress import listening


@pytest.mark.parametrize("name", ["mlp", "class_weights", "cnn_batchnorm"])
def test_values_and_angles_are_those_of_dense_matrices(name: str) -> None:
    problem = build(name).problem()
    found = class_outliers(problem, tol=1e-9)
    dense = ggn(problem).dense()
    values, vectors = torch.linalg.eigh((dense + dense.T) / 2)
    torch.testing.assert_close(found.top.values, values.flip(0)[:13], rtol=1e-8, atol=1e-12)
    means = class_structure(problem).class_means
    explained = sum(w * torch.outer(m, m) for w, m in zip(found.structure.class_weights, means, strict=True))
    rest = torch.linalg.eigvalsh(dense - explained).flip(0)[:3]
    torch.testing.assert_close(found.rest.values, rest, rtol=1e-8, atol=1e-12)
    left, _ = torch.linalg.qr(means.T)
    cosines = torch.linalg.svdvals(left.T @ vectors[:, -3:])
    np.testing.assert_allclose(found.cosines, cosines, atol=found.cosines_error + 1e-9)
    assert found.classes == 3


def test_what_the_residuals_may_have_changed_is_within_the_bound() -> None:
    problem = build("mlp").problem()
    exact = class_outliers(problem, tol=1e-10)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(exact.top.vectors.shape, generator=generator, dtype=torch.float64)
    vectors, _ = torch.linalg.qr(exact.top.vectors + 1e-3 * noise)
    products = ggn(problem) @ vectors
    values = (vectors * products).sum(dim=0)
    residuals = torch.linalg.vector_norm(products - values * vectors, dim=0)
    rough = exact.top.replace(values=values, vectors=vectors, residuals=residuals)
    cosines = exact.structure.cosines(rough.replace(vectors=vectors[:, :3])).numpy()
    assert 0 < np.abs(cosines - exact.cosines).max() <= rough.sine_bound(3)
    assert rough.sine_bound(len(values)) == 1


def test_the_outliers_of_a_trained_classifier_are_about_as_many_as_its_classes() -> None:
    found = class_outliers(wb.load_problem("digits-mlp", epochs=8))
    assert 8 <= found.outliers <= 10
    assert (found.cosines[:8] > 0.9).all()
    assert found.rest.values[0] < 0.75 * found.top.values[0]


def test_table_plots_and_file(tmp_path: Path) -> None:
    found = class_outliers(build("mlp").problem())
    frame = found.frame()
    assert len(frame) == 13
    assert frame["cosine"].notna().sum() == frame["rest"].notna().sum() == 3
    assert frame["outlier"].sum() == found.outliers
    assert wb.load_result(found.save(tmp_path / "a.npz")).frame().equals(frame)
    lines = {line.get_label(): line.get_ydata() for line in found.plot().get_lines()}
    np.testing.assert_allclose(lines["without the class means"], found.rest.values)
    bars = found.plot_cosines().containers[-1].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], found.cosines)
    assert f"{found.outliers} outliers above the bulk, 3 classes" in found.summary()


def test_gram_and_cosines_of_the_means() -> None:
    structure = class_structure(build("class_weights").problem())
    means, weights = structure.class_means, structure.class_weights
    for c in range(3):
        for d in range(3):
            product = weights[c].sqrt() * weights[d].sqrt() * (means[c] @ means[d])
            torch.testing.assert_close(structure.gram[c, d], product)
            cosine = torch.nn.functional.cosine_similarity(means[c], means[d], dim=0)
            torch.testing.assert_close(structure.mean_cosines[c, d], cosine)
    axes = structure.plot_cosines()
    np.testing.assert_allclose(axes.images[0].get_array(), structure.mean_cosines)


def test_an_interrupt_leaves_nothing_half_done() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if "products" in description and done == 5:
            raise KeyboardInterrupt

    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        class_outliers(wb.load_problem("digits-mlp", width=64, epochs=0))


@pytest.mark.parametrize(
    ("name", "expected"), [("mlp", True), ("sum", True), ("mse", False), ("layernorm_attention", False)]
)
def test_whether_there_are_classes(name: str, expected: bool) -> None:
    assert has_classes(build(name).problem()) is expected


def test_soft_targets_are_no_classes() -> None:
    case = build("mlp")
    soft = torch.rand(len(case.inputs), 3).double().softmax(dim=1)
    assert not has_classes(wb.Problem(case.model, nn.CrossEntropyLoss(), (case.inputs, soft)))
