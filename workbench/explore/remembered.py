"""Results that were computed before in this session, by problem, parameters and versions."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch

from workbench import __version__
from workbench.problem import Problem
from workbench.result import Result

_KEPT_BYTES = 256_000_000  # of the last results, shared by all explorers of a session

_results: "OrderedDict[Hashable, Mapping[str, Result]]" = OrderedDict()
_lock = threading.Lock()


def remembered(
    key: Hashable, compute: Callable[[], Mapping[str, Result]]
) -> tuple[Mapping[str, Result], bool]:
    """Return the results for ``key`` and whether they were known; computed outside the lock if not."""
    with _lock:
        if key in _results:
            _results.move_to_end(key)
            return _results[key], True
    results = compute()
    with _lock:
        _results[key] = results
        while sum(map(_bytes, _results.values())) > _KEPT_BYTES:
            _results.popitem(last=False)
    return results, False


def result_key(analysis: str, problem: Problem | None, values: Mapping[str, Any]) -> Hashable:
    """Return what a result depends on; another training step, batch or version makes another key."""
    versions = (__version__, torch.__version__)
    mark = problem.fingerprint() if problem else None
    return analysis, mark, tuple(sorted((k, repr(v)) for k, v in values.items())), versions


def _bytes(results: Mapping[str, Result]) -> int:
    return sum(map(_size, results.values()))


def _size(value: Any) -> int:
    """Bytes of all tensors and arrays of a result, also of the results within it."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.nbytes
    if isinstance(value, Result):
        return sum(map(_size, vars(value).values()))
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 0
