"""What stands in a report in place of an explorer: the plotly figure, and a picture of it for print."""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from IPython.display import display
from PIL import Image

from workbench.explore.picture import picture
from workbench.explore.view import Results

_LARGE = 400_000  # characters of a PNG, more than any without photographs has


class Still:
    """A figure that a page can show without a kernel.

    Parameters
    ----------
    figure : go.Figure
        With hover and zoom, for the screen.
    results : mapping of str to Result
        The same content; its plots are for print and for readers without scripts.
    """

    def __init__(self, figure: go.Figure, results: Results) -> None:
        self.figure, self.results = figure, results

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        kind, content = _for_print(self.results)
        return {
            "application/vnd.plotly.v1+json": json.loads(self.figure.to_json()),
            kind: content,
            "text/plain": "\n\n".join(result.summary() for result in self.results.values()),
        }


class Stills:
    """Several figures, one below the other.

    Parameters
    ----------
    stills : sequence of Still
    """

    def __init__(self, stills: Sequence[Still]) -> None:
        self.stills = tuple(stills)

    def _ipython_display_(self) -> None:
        for still in self.stills:
            display(still)


def _for_print(results: Results) -> tuple[str, str]:
    """Kind and content of the printable picture; one with photographs in it is a fifth as a JPEG."""
    content = png(results, dpi=150)
    if len(content) <= _LARGE:
        return "image/png", content
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=85)
    return "image/jpeg", base64.b64encode(buffer.getvalue()).decode()


def png(results: Results, *, dpi: int) -> str:
    """Return the printable picture of results as a PNG in base64."""
    buffer = io.BytesIO()
    picture(results).savefig(buffer, format="png", dpi=dpi)
    return base64.b64encode(buffer.getvalue()).decode()
