"""Diagonals: unbiased entries with errors that cover, sums over layers, interrupts and refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from scipy.stats import t as student
from test_eigensolver import symmetric

import workbench as wb
from workbench.curvature import diagonal
from workbench.progress import listening

N = 60
MATRIX = symmetric(1 / np.arange(1, N + 1.0))
METHODS = {"hutchinson": 1, "xdiag": 2}


@pytest.mark.parametrize("method", METHODS)
def test_unbiased_over_200_seeds_with_errors_that_cover(method: str) -> None:
    runs = [diagonal(MATRIX, method, max_matvecs=40, seed=seed) for seed in range(200)]
    values = np.array([run.values.numpy() for run in runs])
    deviations = values - MATRIX.diagonal().numpy()
    z = deviations.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(runs)))
    assert np.sqrt(np.mean(z**2)) < 1.3  # 60 entries
    point = student.ppf(0.95, 40 // METHODS[method] - 1)
    covered = np.mean(np.abs(deviations) <= point * np.array([run.stderr.numpy() for run in runs]))
    assert 0.83 <= covered <= 0.97
    traces = np.array([(run.trace - MATRIX.trace().item(), run.trace_stderr) for run in runs])
    assert abs(traces[:, 0].mean()) < 3 * traces[:, 0].std() / np.sqrt(len(runs))
    assert 0.83 <= np.mean(np.abs(traces[:, 0]) <= point * traces[:, 1]) <= 0.97


def test_decaying_spectra_gain_more_than_tenfold() -> None:
    matrix = symmetric(1 / np.arange(1, 201.0) ** 2)
    error = {
        method: (diagonal(matrix, method, max_matvecs=100).values - matrix.diagonal()).norm()
        for method in METHODS
    }
    assert error["xdiag"] < error["hutchinson"] / 10


@pytest.mark.parametrize("method", METHODS)
def test_a_network_layer_by_layer(method: str) -> None:
    op = wb.curvature.hessian(build("layernorm_attention").problem())
    truth = op.dense().diagonal()
    before = op.matvecs
    estimate = diagonal(op, method, max_matvecs=60)
    assert estimate.matvecs == op.matvecs - before == 60
    z = (estimate.values - truth) / estimate.stderr
    assert z.square().mean() < 2
    layers = estimate.layers()
    assert layers["parameter"].tolist() == [part.name for part in op.layout]
    for row, part in zip(layers.itertuples(), op.layout, strict=True):
        entries = slice(part.start, part.stop)
        assert row.entries == part.stop - part.start
        assert row.sum == pytest.approx(estimate.values[entries].sum().item())
        assert abs(row.sum - truth[entries].sum().item()) < 4 * row.stderr
    assert estimate.trace == pytest.approx(estimate.values.sum().item())
    frame = estimate.frame()
    assert frame["parameter"].value_counts().to_dict() == dict(
        zip(layers["parameter"], layers["entries"], strict=True)
    )
    assert f"by {method}" in estimate.summary()


def test_exact_with_as_many_products_as_rows() -> None:
    op = wb.curvature.hessian(build("mlp").problem())
    estimate = diagonal(op, max_matvecs=op.shape[0])
    assert (estimate.method, estimate.matvecs, estimate.trace_stderr) == ("exact", op.shape[0], 0)
    torch.testing.assert_close(estimate.values, op.dense().diagonal())
    assert not estimate.stderr.any()
    assert "exact" in estimate.summary()


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_returns_what_there_is(method: str) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 10 * METHODS[method]:
            raise KeyboardInterrupt

    with listening(interrupt):
        estimate = diagonal(MATRIX, method, max_matvecs=50)
    expected = diagonal(MATRIX, method, max_matvecs=10 * METHODS[method])
    assert estimate.interrupted
    assert "interrupted" in estimate.summary()
    torch.testing.assert_close(estimate.values, expected.values)
    torch.testing.assert_close(estimate.stderr, expected.stderr)


def test_one_sample_has_no_standard_error() -> None:
    assert diagonal(MATRIX, max_matvecs=1).stderr.isnan().all()


def test_a_file_and_a_picture(tmp_path: Any) -> None:
    estimate = diagonal(wb.curvature.ggn(build("mlp").problem()), "xdiag", max_matvecs=20)
    loaded = wb.load_result(estimate.save(tmp_path / "diagonal.npz"))
    assert loaded.frame().equals(estimate.frame())
    assert loaded.layers().equals(estimate.layers())
    ax = estimate.plot()
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(estimate.layer_sums.tolist())
    assert [label.get_text() for label in ax.get_yticklabels()] == estimate.layers()["parameter"].tolist()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "xdiagonal"}, "did you mean 'xdiag'"),
        ({"method": "xdiag", "max_matvecs": 1}, "max_matvecs=1 is out of range: it must be at least 2"),
        ({"seed": -1, "max_matvecs": 20}, "seed=-1"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diagonal(MATRIX, **keywords)
