"""The bar of a notebook is text that changes in one place and leaves nothing."""

import pytest

from workbench import notebook_bar
from workbench.notebook_bar import NotebookBar


@pytest.fixture
def shown(monkeypatch):
    """What the notebook was sent, in order: what is new, and what takes its place."""
    events = []

    class Handle:
        def update(self, data, raw):
            events.append(("update", data))

    def display(data, raw, display_id):
        events.append(("display", data))
        return Handle()

    monkeypatch.setattr(notebook_bar, "display", display)
    return events


def test_one_output_that_is_empty_at_the_end(shown):
    with NotebookBar(total=3, desc="a <b>", mininterval=0, leave=False) as bar:
        for _ in range(3):
            bar.update(1)
    kinds, data = zip(*shown, strict=True)
    assert kinds == ("display", *["update"] * (len(kinds) - 1))
    assert "a <b>: 100%" in data[-2]["text/plain"]
    assert "a &lt;b&gt;: 100%" in data[-2]["text/html"]
    assert data[-1] == {"text/html": "", "text/plain": ""}


def test_nothing_is_shown_of_work_that_is_quick(shown):
    with NotebookBar(total=3, delay=60, mininterval=0, leave=False) as bar:
        bar.update(3)
    assert shown == []
