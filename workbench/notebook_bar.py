"""A progress bar for a notebook: a line of text that is gone when the work is done.

tqdm's own is a widget; once its kernel is gone, a saved notebook says "Error displaying widget" in its place.
"""

import html
import io
from collections.abc import Callable
from typing import Any

from IPython.display import DisplayHandle, display
from tqdm import tqdm


class NotebookBar(tqdm):
    """tqdm's bar as text in an output of its own, which is empty at the end.

    Parameters
    ----------
    **options
        Of :class:`tqdm.tqdm`.
    """

    def __init__(self, **options: Any) -> None:
        # Nested bars move a cursor in the file they are given; here each has an output instead.
        super().__init__(**options, file=io.StringIO(), ncols=80)

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Return what tqdm calls with each new text of a bar."""
        handle: DisplayHandle | None = None

        def show(text: str) -> None:
            nonlocal handle
            shown = {"text/html": f"<pre>{html.escape(text)}</pre>" if text else "", "text/plain": text}
            if handle is None:
                handle = display(shown, raw=True, display_id=True)
            else:
                handle.update(shown, raw=True)

        return show
