import contextlib

import pytest
import torch
from kernel_compilation import TARGETS, Compilation

from workbench.kernels.jit import blocks, kernel, tl

FACTOR, TERMS = 2.0, (3.0, 5.0)


@kernel
def square(x):
    """A function that a kernel calls."""
    return x * x


@kernel
def square_kernel(x_ptr, output_ptr, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    tl.store(output_ptr + place, square(tl.load(x_ptr + place).to(tl.float32)))


@pytest.mark.interpreted
def test_a_kernel_calls_functions_of_its_file():
    x, output = torch.arange(8.0), torch.empty(8)
    square_kernel[(1,)](x, output, SIZE=8)
    assert torch.equal(output, x * x)


@kernel
def constants_kernel(x_ptr, output_ptr, SIZE: tl.constexpr):
    """Uses a number and a tuple of its file."""
    place = tl.arange(0, SIZE)
    tl.store(output_ptr + place, FACTOR * tl.load(x_ptr + place).to(tl.float32) + TERMS[1])


@pytest.mark.interpreted
def test_a_kernel_uses_numbers_of_its_file():
    x, output = torch.arange(8.0), torch.empty(8)
    constants_kernel[(1,)](x, output, SIZE=8)
    assert torch.equal(output, 2 * x + 5)


@pytest.mark.compiled
def test_numbers_of_its_file_are_constants_when_it_is_compiled():
    case = Compilation(
        "constants", constants_kernel, {"x_ptr": "*fp32", "output_ptr": "*fp32"}, {"SIZE": 128}
    )
    assert "5.000000e+00" in case.compile(TARGETS["sm_90"]).asm["ttir"]


@pytest.mark.interpreted
def test_it_is_launched_where_its_first_tensor_is(monkeypatch):
    devices = []
    monkeypatch.setattr(
        torch.cuda, "device_of", lambda x: devices.append(x.device) or contextlib.nullcontext()
    )
    square_kernel[(1,)](torch.ones(8), torch.empty(8), SIZE=8)
    assert devices == [torch.device("cpu")]


def test_the_scope_of_the_file_stays_as_it_is():
    assert square_kernel.jitted.arg_names == ["x_ptr", "output_ptr", "SIZE"]
    assert globals()["square"] is square
    assert globals()["tl"] is tl


def test_blocks_cover_a_length():
    assert [blocks(length, 4) for length in (0, 1, 4, 5)] == [0, 1, 1, 2]
