"""What a trace tells of its rows."""

import numpy as np
import pytest

import workbench as wb
from workbench.trace import Row, Trace


@pytest.fixture
def trace():
    rows = [
        row
        for step in (0, 5)
        for row in (
            Row(step, "training_seconds", "", 2.0, 0.0, 0.0),
            Row(step, "recorder_seconds", "", 0.5, 0.0, 0.5),
            Row(step, "sharpness", "", 3.0 + step, 0.5, 1.0),
            Row(step, "stability_threshold", "", 20.0, 0.0, 0.0),
            Row(step, "norm", "a", 1.0, 0.0, 0.25),
            Row(step, "norm", "b", np.nan, np.nan, 0.25),
        )
    ]
    every = {"sharpness": 5, "stability_threshold": 5, "norm": 5}
    return Trace.from_rows(rows, every, {"sharpness": 26.0, "stability_threshold": 0.0, "norm": 1.0})


def test_seconds_add_up_over_the_parts(trace):
    assert trace.costs().set_index("quantity")["seconds"].to_dict() == {
        "sharpness": 2.0, "stability_threshold": 0.0, "norm": 1.0
    }  # fmt: skip
    assert trace.overhead == pytest.approx(4 / 4)
    assert "4 s of measuring (1 s the recorder's own) beside 4 s of training" in trace.summary()
    assert "sharpness: 8 ± 0.5 at step 5" in trace.summary()


def test_series_by_name_and_part(trace):
    assert trace.of("sharpness")["value"].tolist() == [3, 8]
    assert trace.parts("norm") == ("a", "b")
    with pytest.raises(ValueError, match="did you mean 'sharpness'"):
        trace.of("sharpnes")
    with pytest.raises(ValueError, match="did you mean 'norm'"):
        trace.plot(quantities="nrm")
    with pytest.raises(ValueError, match="there is 'a', 'b'"):
        trace.of("norm")


def test_it_survives_saving_and_can_be_empty(trace, tmp_path):
    assert wb.load_result(trace.save(tmp_path / "trace.npz")).frame().equals(trace.frame())
    empty = Trace.from_rows([], {"loss": 1}, {"loss": 1.0})
    assert empty.summary() == "nothing was recorded yet"
    assert np.isnan(empty.overhead)
    empty.plot()


def test_the_picture_shows_curvature_with_its_error_and_the_threshold(trace):
    axes = trace.plot()
    assert [line.get_label() for line in axes.lines] == ["sharpness", "stability_threshold"]
    band = axes.collections[0].get_paths()[0].vertices
    assert {2.5, 3.5, 7.5, 8.5} <= set(band[:, 1])
    assert [line.get_label() for line in trace.plot(quantities="norm").lines] == ["norm: a", "norm: b"]
