"""The file of a recorder survives a kill at any moment, and each kind of ending."""

import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

import workbench as wb
from workbench.trace import Row
from workbench.trace_file import TraceFile, load_trace

# One writer for each line of its input; they are forked, since the imports take most of the time.
WRITERS = """
import os, sys
from workbench.trace import Row
from workbench.trace_file import TraceFile
for line in sys.stdin:
    writer = os.fork()
    if not writer:
        print(os.getpid(), flush=True)
        start = int(line)
        file = TraceFile(sys.argv[1], {"a": 1}, {"a": 1.0}, start or None)
        for step in range(start, 10**6):
            file.append([Row(step, "a", part, step + 0.5, float("nan"), 0.0) for part in ("", "x")])
            os.write(1, b"%d\\n" % step)  # whole or not at all
    os.waitpid(writer, 0)
    print("killed", flush=True)
"""


def rows(*steps):
    return [Row(step, "a", "", step / 3, 0.0, 0.1) for step in steps]


def make(path, start=None):
    return TraceFile(path, {"a": 1}, {"a": 2.0}, start)


def test_a_killed_writer_loses_no_row_that_was_written_and_goes_on(tmp_path):
    path, start = tmp_path / "run.parquet", 0
    kills = (100, 1, 99, 101, 250, 2, 30)  # steps that a writer has told of when it is killed, at least
    command = [sys.executable, "-c", WRITERS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers:
        assert writers.stdin is not None
        assert writers.stdout is not None
        for count in kills:
            print(start, file=writers.stdin, flush=True)
            writer = int(writers.stdout.readline())
            written = [int(writers.stdout.readline()) for _ in range(count)]
            os.kill(writer, signal.SIGKILL)
            written += [int(line) for line in iter(writers.stdout.readline, "killed\n")]
            assert written == list(range(start, start + len(written)))
            steps = load_trace(path).frame()["step"].tolist()
            assert steps == [step for step in range(len(steps) // 2) for _ in (0, 1)]
            assert len(steps) // 2 - (written[-1] + 1) in (0, 1)  # one may be written and not yet told
            start = max(1, len(steps) // 2 - 1)
    logs = [int(log.name.split(".")[-2]) for log in tmp_path.glob("*.log")]
    assert max(logs) > len(kills)  # beside the table that each writer begins with, one after 100 steps


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
