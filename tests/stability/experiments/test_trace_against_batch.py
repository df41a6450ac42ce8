"""Minima of SGD over the batch size keep the bounds that hold, and not the one that does not."""

import numpy as np
import pytest

import workbench as wb
from workbench.stability.experiments import TraceAgainstBatch, trace_against_batch

SMALL = {"seeds": (0,), "steps": 2500, "examples": 30, "width": 12, "tolerance": 1e-2}


@pytest.fixture(scope="module")
def found() -> TraceAgainstBatch:
    return trace_against_batch((1, 4, 30), learning_rate=0.3, **SMALL)


def test_what_fits_keeps_its_bounds(found: TraceAgainstBatch) -> None:
    assert found.interpolates.all()
    assert found.largest_share("exact") <= 1
    for name in ("trace", "gradient_descent"):
        assert found.largest_share(name) <= found.largest_share("exact") + 1e-9
    assert found.largest_share("bare_trace") > 1
    assert found.shares["bare_trace"][0, 0] <= 1  # at batch size 1 it holds


def test_smaller_batches_end_flatter(found: TraceAgainstBatch) -> None:
    assert (np.diff(found.trace[:, 0]) > 0).all()


def test_runs_that_diverge_are_left_out() -> None:
    found = trace_against_batch((1, 2), learning_rate=20.0, **{**SMALL, "steps": 200})
    assert not found.interpolates.any()
    assert np.isnan(found.largest_share("exact"))
    found.plot()


def test_it_can_be_saved_and_drawn(found: TraceAgainstBatch, tmp_path) -> None:
    again = wb.load_result(found.save(tmp_path / "trace.npz"))
    assert again.frame().equals(found.frame())
    assert again.by_size().equals(found.by_size())
    found.plot()


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=31 is out of range"):
        trace_against_batch((1, 31), **SMALL)
    with pytest.raises(ValueError, match=r"learning_rate=-1.0 is out of range"):
        trace_against_batch((1,), learning_rate=-1.0, **SMALL)
