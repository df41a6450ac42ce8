"""Figures are kept once each while a report runs, and results with them."""

import numpy as np
import pandas as pd
import pytest
import torch

from workbench import Estimate, load_result, record
from workbench.recording import recorded


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    return tmp_path


def test_figures_keep_their_order_type_and_tolerance(run):
    record("b", 2.5, rtol=0.1)
    record("a", torch.tensor(3))
    record("c", np.bool_(True), atol=1.0)
    record("d", "lanczos")
    assert list(recorded(run).items()) == [
        ("b", {"value": 2.5, "rtol": 0.1, "atol": 0.0}),
        ("a", {"value": 3, "rtol": 0.02, "atol": 0.0}),
        ("c", {"value": True, "rtol": 0.02, "atol": 1.0}),
        ("d", {"value": "lanczos", "rtol": 0.02, "atol": 0.0}),
    ]


def test_a_result_is_saved_whole_and_as_a_table(run):
    estimate = Estimate("trace", 1.0, 0.1, (0.9, 1.1), 2)
    record("trace", estimate)
    assert load_result(run / "results" / "trace.npz") == estimate
    assert pd.read_parquet(run / "results" / "trace.parquet").equals(estimate.frame())
    assert recorded(run) == {}


def test_nothing_is_written_in_a_live_session(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_RUN", raising=False)
    monkeypatch.chdir(tmp_path)
    record("a", 1.0)
    record("t", Estimate("trace", 1.0, 0.1, (0.9, 1.1), 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("a/b", 1.0, ValueError, "a/b"),
        ("", 1.0, ValueError, "letters"),
        ("a", float("nan"), ValueError, "nan"),
        ("a", [1], TypeError, "list"),
    ],
)
def test_what_cannot_be_compared_is_refused(run, name, value, error, words):
    with pytest.raises(error, match=words):
        record(name, value)


def test_a_name_is_recorded_once(run):
    record("a", 1.0)
    with pytest.raises(ValueError, match="recorded before"):
        record("a", 2.0)
