"""The file of a recorder survives a kill at any moment, and each kind of ending."""

import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import workbench as wb
from workbench.trace import Row
from workbench.trace_file import TraceFile, load_trace

WRITER = """
import sys
from workbench.trace import Row
from workbench.trace_file import TraceFile
start = int(sys.argv[2])
file = TraceFile(sys.argv[1], {"a": 1}, {"a": 1.0}, start or None)
print("ready", flush=True)
for step in range(start, 10**6):
    file.append([Row(step, "a", part, step + 0.5, float("nan"), 0.0) for part in ("", "x")])
    print(step, flush=True)
"""


def rows(*steps):
    return [Row(step, "a", "", step / 3, 0.0, 0.1) for step in steps]


def make(path, start=None):
    return TraceFile(path, {"a": 1}, {"a": 2.0}, start)


def test_a_killed_writer_loses_no_row_that_was_written_and_goes_on(tmp_path):
    path, start = tmp_path / "run.parquet", 0
    for delay in (0.0, 0.003, 0.01, 0.03, 0.05, 0.1, 0.2):
        command = [sys.executable, "-c", WRITER, str(path), str(start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
            written = [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        frame = load_trace(path).frame()
        steps = frame["step"].tolist()
        assert steps == [step for step in range(len(steps) // 2) for _ in (0, 1)]
        last = written[-1] if written else start - 1
        assert last + 1 <= len(steps) // 2 <= last + 3  # a row may be written and its line not yet printed
        start = max(1, len(steps) // 2 - 1)
    assert start > 300  # several tables were written


def test_a_line_that_was_cut_short_is_dropped(tmp_path):
    path = tmp_path / "run.parquet"
    make(path).append(rows(0))
    (log,) = tmp_path.glob("*.log")
    log.write_bytes(log.read_bytes() + b'[[1, "a"')
    assert load_trace(path).step.tolist() == [0]
    make(path, start=1).append(rows(1))
    assert load_trace(path).step.tolist() == [0, 1]


def test_closing_leaves_one_parquet_file(tmp_path):
    path = tmp_path / "run.parquet"
    file = make(path)
    for step in range(250):
        file.append(rows(step))
    assert len(pd.read_parquet(path)) >= 125
    file.close()
    assert [each.name for each in tmp_path.iterdir()] == ["run.parquet"]
    assert pd.read_parquet(path).equals(load_trace(path).frame())
    assert load_trace(path).gradients == {"a": 2.0}


def test_from_the_start_on_rows_are_dropped(tmp_path):
    path = tmp_path / "run.parquet"
    file = make(path)
    for step in range(5):
        file.append(rows(step))
    assert make(path, start=3).kept == rows(0, 1, 2)
    assert load_trace(path).step.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="up to step 2: to go on"):
        make(path)


def test_what_is_no_trace_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a readable trace"):
        wb.load_trace(tmp_path / "none.parquet")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="not of a recorder"):
        wb.load_trace(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="does not exist"):
        make(tmp_path / "no folder" / "run.parquet")
