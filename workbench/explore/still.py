"""What stands in a report in place of an explorer: the plotly figure, and a picture of it for print."""

import base64
import io
import json
from typing import Any

import plotly.graph_objects as go
from matplotlib.figure import Figure


class Still:
    """A figure that a page can show without a kernel.

    Parameters
    ----------
    figure : go.Figure
        With hover and zoom, for the screen.
    picture : matplotlib.figure.Figure
        The same content, for print and for readers without scripts.
    """

    def __init__(self, figure: go.Figure, picture: Figure) -> None:
        self.figure, self.picture = figure, picture

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        buffer = io.BytesIO()
        self.picture.savefig(buffer, format="png", dpi=150)
        return {
            "application/vnd.plotly.v1+json": json.loads(self.figure.to_json()),
            "image/png": base64.b64encode(buffer.getvalue()).decode(),
            "text/plain": "a figure",
        }
