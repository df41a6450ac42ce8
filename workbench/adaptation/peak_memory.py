"""``peak_bytes``: the memory that a computation holds at once."""

from collections.abc import Callable

import torch
from torch._C._autograd import _disable_profiler_legacy, _enable_profiler_legacy
from torch.autograd import profiler_legacy


@torch.no_grad()
def peak_bytes(work: Callable[[], object]) -> int:
    """Return the bytes on the CPU that ``work()`` holds at its peak, beyond what there was before.

    Counted from the calls of PyTorch's allocator, so the same in each run; buffers that a library of matrix
    products keeps to itself are not in it. What ``work`` returns is.
    """
    # The newer profiler counts the same, and writes lines of its own to the standard error.
    _enable_profiler_legacy(profiler_legacy.profile(profile_memory=True).config())
    try:
        work()
    finally:
        records = [record for thread in _disable_profiler_legacy() for record in thread]
    held = peak = 0
    for record in records:
        if record.kind() == "memory_alloc":
            held += record.cpu_memory_usage()
            peak = max(peak, held)
    return int(peak)
