"""Results that were computed before in this session, by problem, parameters and versions."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch

from workbench import __version__
from workbench.problem import Problem

_KEPT = 32  # results of the last computations, shared by all explorers of a session

_results: "OrderedDict[Hashable, Any]" = OrderedDict()
_lock = threading.Lock()


def remembered(key: Hashable, compute: Callable[[], Any]) -> tuple[Any, bool]:
    """Return the result for ``key`` and whether it was known; it is computed outside the lock if not."""
    with _lock:
        if key in _results:
            _results.move_to_end(key)
            return _results[key], True
    result = compute()
    with _lock:
        _results[key] = result
        while len(_results) > _KEPT:
            _results.popitem(last=False)
    return result, False


def result_key(analysis: str, problem: Problem, values: Mapping[str, Any]) -> Hashable:
    """Return what a result depends on; another training step, batch or version makes another key."""
    versions = (__version__, torch.__version__)
    return analysis, problem.fingerprint(), tuple(sorted((k, repr(v)) for k, v in values.items())), versions
