"""What the tests of kernels share.

Every file of tests of a kernel runs twice: as any other, where tensors on the CPU take the PyTorch path, and
in a process of its own with Triton's interpreter, where they take the kernels (``test_interpreter.py``).
"""

import os

import pytest

from workbench.kernels.dispatch import interpreting

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # triton is to change its default


def pytest_collection_modifyitems(items):
    without, why = (
        ("compiled", "the interpreter compiles nothing")
        if interpreting()
        else ("interpreted", "runs in test_interpreter.py")
    )
    for item in items:
        if without in item.keywords:
            item.add_marker(pytest.mark.skip(reason=why))
