"""Hooks of one thread."""

import threading

from workbench.hooks import of_this_thread


def test_a_hook_answers_to_its_own_thread_alone() -> None:
    hook = of_this_thread(lambda value: value + 1)
    assert hook(1) == 2
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.append(hook(1)))
    thread.start()
    thread.join()
    assert found == [None]
