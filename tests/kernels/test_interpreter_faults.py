"""What Triton's interpreter gets wrong, which is why kernels are written as they are.

When one of these fails, a release of triton has mended it: look whether a kernel can be simpler then.
"""

import pytest
import torch

from workbench.kernels.jit import kernel, tl

pytestmark = pytest.mark.interpreted


@kernel
def add_kernel(x_ptr, output_ptr, UPCAST: tl.constexpr, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    x = tl.load(x_ptr + place)
    if UPCAST:
        x = x.to(tl.float32)
    tl.store(output_ptr + place, (x + x).to(tl.float32))


@kernel
def sum_kernel(x_ptr, output_ptr, SIZE: tl.constexpr):
    tl.store(output_ptr, tl.sum(tl.load(x_ptr + tl.arange(0, SIZE)), axis=0).to(tl.float32))


@kernel
def dot_kernel(x_ptr, output_ptr, UPCAST: tl.constexpr, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
    x = tl.load(x_ptr + place)
    if UPCAST:
        x = x.to(tl.float32)
    tl.store(output_ptr + place, tl.dot(x, x).to(tl.float32))


@kernel
def positive_kernel(x_ptr, output_ptr, SPREAD: tl.constexpr, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    x = tl.load(x_ptr).to(tl.float32)
    if SPREAD:
        x = tl.zeros([SIZE], tl.float32) + x
    tl.store(output_ptr + place, place.to(tl.float32), mask=(place > 1) & (x > 0))


@kernel
def copy_kernel(x_ptr, output_ptr, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    tl.store(output_ptr + place, tl.load(x_ptr + place).to(tl.float32).to(output_ptr.dtype.element_ty))


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("upcast", [True, False])
def test_sum_of_two_bfloat16_is_right_only_after_an_upcast(upcast):
    x, output = numbers(64).bfloat16(), torch.empty(64)
    add_kernel[(1,)](x, output, UPCAST=upcast, SIZE=64)
    assert torch.allclose(output, 2 * x.float()) == upcast


def test_sum_of_many_bfloat16_is_wrong():
    x, output = numbers(64).bfloat16(), torch.empty(1)
    sum_kernel[(1,)](x, output, SIZE=64)
    assert not torch.allclose(output, x.float().sum(), rtol=0.1)


@pytest.mark.parametrize("upcast", [True, False])
def test_product_of_bfloat16_matrices_is_right_only_after_an_upcast(upcast):
    x, output = numbers(16, 16).bfloat16(), torch.empty(16, 16)
    dot_kernel[(1,)](x, output, UPCAST=upcast, SIZE=16)
    assert torch.allclose(output, x.float() @ x.float(), atol=1e-2) == upcast


def test_a_number_is_compared_in_a_mask_only_after_it_was_spread():
    """The comparison is kept as a float, which has no bits to combine with those of the mask."""
    x, output = torch.ones(1), torch.zeros(4)
    with pytest.raises(Exception, match="bitwise_and"):
        positive_kernel[(1,)](x, output, SPREAD=False, SIZE=4)
    positive_kernel[(1,)](x, output, SPREAD=True, SIZE=4)
    assert output.tolist() == [0, 0, 2, 3]


def test_a_bfloat16_is_cut_off_when_it_is_stored():
    x, output = numbers(1024), torch.empty(1024, dtype=torch.bfloat16)
    copy_kernel[(1,)](x, output, SIZE=1024)
    cut = (x.view(torch.int32) & -65536).view(torch.float32)
    assert torch.equal(output.float(), cut)
    assert not torch.equal(output, x.bfloat16())


def test_float16_is_rounded_when_it_is_stored():
    x, output = numbers(1024), torch.empty(1024, dtype=torch.float16)
    copy_kernel[(1,)](x, output, SIZE=1024)
    assert torch.equal(output, x.half())


def test_more_than_one_configuration_cannot_be_tuned():
    import triton

    configurations = [triton.Config({"SIZE": size}) for size in (16, 32)]
    tuned = triton.autotune(configurations, key=[])(copy_kernel.jitted)
    with pytest.raises(Exception, match="0 active drivers"):
        tuned[(1,)](numbers(32), torch.empty(32))
