"""``LiveFigure``: a plotly figure for a page that lives longer than one look at it."""

from typing import Any

import plotly.graph_objects as go

# As wide as its place; plotly's button that sends a figure with its data to a server is left out.
_CONFIG = {"responsive": True, "displaylogo": False, "showSendToCloud": False}


class LiveFigure(go.FigureWidget):
    """A figure that a page loaded again shows as it is, not as it was made.

    plotly sends each change to the page and leaves its own state as it was when the figure was displayed;
    that state is what a new page asks for.

    Parameters
    ----------
    figure : go.Figure
        What to show first.
    """

    def __init__(self, figure: go.Figure) -> None:
        super().__init__(figure)
        self._config = _CONFIG

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the state of the widget; all of it (no ``key``) with what the figure shows now."""
        is_whole = key is None and self.comm is not None  # without a comm it is still being made
        if is_whole:
            self._repr_mimebundle_()  # brings the state up to date, as it does when plotly displays a figure
        return super().get_state(key, drop_defaults)
