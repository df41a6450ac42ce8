"""The tests of every kernel once more, with Triton's interpreter.

TRITON_INTERPRET is read when triton is imported, so each file gets a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.kernels.dispatch import interpreting

HERE = Path(__file__).parent
OTHERS = {"test_interpreter.py", "test_dispatch.py", "test_kernel_source.py"}  # have nothing to interpret
FILES = sorted(path.name for path in HERE.glob("test_*.py") if path.name not in OTHERS)


@pytest.mark.skipif(interpreting(), reason="is what this file starts")
@pytest.mark.parametrize("file", FILES)
def test_holds_interpreted(file):
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", str(HERE / file)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
