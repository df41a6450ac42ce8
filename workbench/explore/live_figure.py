"""``LiveFigure``: a plotly figure for a page that lives longer than one look at it."""

from pathlib import Path
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
from plotly.basewidget import BaseFigureWidget
from traitlets import Instance, Unicode, default

# As wide as its place; plotly's button that sends a figure with its data to a server is left out.
_CONFIG = {"responsive": True, "displaylogo": False, "showSendToCloud": False}
_libraries: list["PlotlyLibrary"] = []


class PlotlyLibrary(widgets.Widget):
    """plotly's part that runs in the page: sent once, where each ``FigureWidget`` brings its own copy."""

    source = Unicode(str(BaseFigureWidget._esm)).tag(sync=True)


class LiveFigure(go.FigureWidget):
    """A figure that a page loaded again shows as it is, not as it was made.

    plotly sends each change to the page and leaves its own state as it was when the figure was displayed;
    that state is what a new page asks for. Also, the figure is seen in a page that is slow to read plotly:
    see ``live_figure.js``.

    Parameters
    ----------
    figure : go.Figure
        What to show first.
    """

    _esm = Path(__file__).with_suffix(".js")
    _library = Instance(PlotlyLibrary).tag(sync=True, **widgets.widget_serialization)

    def __init__(self, figure: go.Figure) -> None:
        super().__init__(figure)
        self._config = _CONFIG

    @default("_library")
    def _shared_library(self) -> PlotlyLibrary:
        """The one of this kernel; a new one where all widgets were closed."""
        if not _libraries or _libraries[-1].comm is None:
            _libraries[:] = [PlotlyLibrary()]
        return _libraries[-1]

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the state of the widget; all of it (no ``key``) with what the figure shows now."""
        is_whole = key is None and self.comm is not None  # without a comm it is still being made
        if is_whole:
            self._repr_mimebundle_()  # brings the state up to date, as it does when plotly displays a figure
        return super().get_state(key, drop_defaults)
