"""Pictures that a page carries in itself."""

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS = 150  # to the inch: sharp on a telephone, and on paper


def picture_address(figure: "Figure") -> str:
    """Return a figure as a PNG in a ``data:`` address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS, facecolor="white")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
