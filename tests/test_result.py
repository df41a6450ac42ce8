"""Results survive a file, say what they are, and never load anything else."""

import dataclasses
import sys
import zipfile

import matplotlib.axes
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from workbench.result import Estimate, Result, load_result, student_interval


@dataclasses.dataclass(frozen=True, repr=False)
class Everything(Result):
    tensor: torch.Tensor
    half: torch.Tensor
    array: np.ndarray
    nested: dict
    names: tuple
    nothing: None = None

    def frame(self):
        return pd.DataFrame({"value": self.tensor.tolist()})

    def summary(self):
        return "everything <b>"


def test_all_kinds_of_fields_come_back(tmp_path):
    result = Everything(
        torch.arange(3.0),
        torch.tensor([1.5], dtype=torch.bfloat16),
        np.eye(2),
        {"a": [1, 2.5, None], "b": (True, torch.ones(2))},
        ("x", "y"),
    )
    loaded = load_result(result.save(tmp_path / "deep" / "all.npz"))
    assert isinstance(loaded, Everything)
    assert torch.equal(loaded.tensor, result.tensor)
    assert loaded.half.dtype == torch.bfloat16
    assert torch.equal(loaded.half, result.half)
    assert np.array_equal(loaded.array, result.array)
    assert loaded.nested["a"] == [1, 2.5, None]
    assert torch.equal(loaded.nested["b"][1], torch.ones(2))
    assert loaded.names == ("x", "y")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["all.npz"]


def test_results_within_results_come_back(tmp_path):
    inner = Estimate("trace", 1.5, 0.1, (1.4, 1.6), 2)
    result = Everything(
        torch.ones(1), torch.ones(1), np.eye(1), {"of": inner}, (inner, inner.replace(value=2.0))
    )
    loaded = load_result(result.save(tmp_path / "all.npz"))
    assert loaded.nested == {"of": inner}
    assert loaded.names[1].value == 2.0


def test_html_escapes_and_shows_the_table():
    result = Everything(torch.arange(12.0), torch.ones(1), np.eye(1), {}, ())
    assert "everything &lt;b&gt;" in result._repr_html_()
    assert "12 rows in all" in result._repr_html_()


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_what_is_not_a_result_is_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable Workbench result"):
        load_result(path)


def test_a_type_from_elsewhere_is_not_imported(tmp_path):
    path = Estimate("trace", 1.0, 0.1, (0.9, 1.1), 2).save(tmp_path / "x.npz")
    with zipfile.ZipFile(path) as archive:
        header = archive.read("result.json").decode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("result.json", header.replace("workbench.result:Estimate", "antigravity:Estimate"))
    with pytest.raises(ValueError, match="unknown result type 'antigravity:Estimate'"):
        load_result(path)
    assert "antigravity" not in sys.modules


def test_what_cannot_be_held_is_refused(tmp_path):
    with pytest.raises(TypeError, match="field nested"):
        Everything(torch.ones(1), torch.ones(1), np.eye(1), {"f": print}, ()).save(tmp_path / "x.npz")


def test_estimate():
    estimate = Estimate("trace", 2.0, 0.5, (1.5, 2.5), 2, converged=False, terms="loss + weight decay")
    assert str(estimate).startswith("Estimate: trace = 2 ± 0.5 (2 samples, 2 products, loss + weight decay")
    assert "NOT converged" in str(estimate)
    assert estimate.frame()["trace"].tolist() == [1.5, 2.5]
    axes = estimate.plot()
    assert isinstance(axes, matplotlib.axes.Axes)
    assert axes.get_ylabel() == "trace"
    assert axes.lines[0].get_ydata().tolist() == [1.5, 2.0]


def test_an_interval_of_a_mean_is_students():
    values = np.array([1.0, 2.5, 4.0, 2.0])
    mean, half = student_interval(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assert (mean - half, mean + half) == pytest.approx((low, high))
    mean, half = student_interval(values[:1])
    assert mean == 1
    assert np.isnan(half)
