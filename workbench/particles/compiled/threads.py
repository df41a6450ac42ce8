"""Threads for kernels: as many as PyTorch may use, each over a share of the runs or blocks."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch


def share_out(count: int, work: Callable[[int, int], object]) -> None:
    """Call ``work(first, last)`` for shares of ``range(count)``, on ``torch.get_num_threads()`` at once."""
    threads = min(torch.get_num_threads(), count)
    if threads == 1:
        work(0, count)
        return
    bounds = [count * i // threads for i in range(threads + 1)]
    others = [_pool(os.getpid()).submit(work, *share) for share in pairwise(bounds[1:])]
    work(0, bounds[1])
    for other in others:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of a process: a forked child has none of its parent's."""
    return ThreadPoolExecutor(max_workers=None, thread_name_prefix="workbench-particles")
