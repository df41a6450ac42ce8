"""Hooks that answer to the thread that hung them up alone: another may be using the same model."""

import threading
from collections.abc import Callable
from typing import Any


def of_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Return the hook, for the forward passes of the calling thread; in others it does nothing."""
    thread = threading.get_ident()

    def gated(*arguments: Any) -> Any:
        return hook(*arguments) if threading.get_ident() == thread else None

    return gated
