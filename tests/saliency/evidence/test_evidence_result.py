"""An Evidence says its mean, interval, counts and cost, is drawn, and survives a file."""

from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench.saliency.evidence import Evidence


def with_curves() -> Evidence:
    curves = np.random.default_rng(0).normal(size=(6, 3))
    curves[2] = np.nan
    return Evidence(
        "deletion", curves.mean(1), better="lower", notes=("a choice",), positions=np.array([0.0, 0.5, 1.0]),
        curves=curves, axis="share", inputs_evaluated=18, seed=2, interrupted=True,
    )  # fmt: skip


def test_numbers_and_summary() -> None:
    found = Evidence("metric", np.array([1.0, 2.0, np.nan, 3.0]), groups=np.array([0, 0, 1, 2]))
    assert (found.n, found.undefined) == (3, 1)
    assert found.mean == pytest.approx(2.25)
    assert found.low <= found.mean <= found.high
    assert "1 UNDEFINED" in found.summary()
    assert "over 3 classes" in found.summary()
    assert list(found.frame()["class"]) == [0, 0, 1, 2]
    text = with_curves().summary()
    assert "INTERRUPTED" in text
    assert "a choice" in text
    assert "lower is better" in text


def test_pictures_show_the_mean_and_the_interval() -> None:
    found = with_curves()
    (line,) = found.plot().lines
    np.testing.assert_allclose(line.get_ydata(), np.nanmean(found.curves, axis=0))
    table = found.curve_frame()
    assert (table["n"] == 5).all()
    assert (table["low"] <= table["mean"]).all()
    histogram = Evidence("metric", np.arange(5.0)).plot()
    assert histogram.lines[0].get_xdata()[0] == 2
    with pytest.raises(ValueError, match="no curves"):
        Evidence("metric", np.arange(5.0)).curve_frame()


def test_a_file_gives_it_back(tmp_path: Path) -> None:
    found = with_curves()
    read = wb.load_result(found.save(tmp_path / "evidence.npz"))
    assert isinstance(read, Evidence)
    np.testing.assert_array_equal(read.values, found.values)
    assert read.summary() == found.summary()
