"""What stands for a picture where it is not seen: a screen reader, a page whose pictures are off."""

import re

from nbformat import NotebookNode

PLOTLY = "application/vnd.plotly.v1+json"
_PICTURES = ("image/svg+xml", "image/png", "image/jpeg")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+?)[ #]*$", re.MULTILINE)
_REPR = re.compile(r"<|\w+\(")  # <Figure size 640x480 with 1 Axes>, Figure({'data': ...})


def name_pictures(notebook: NotebookNode, title: str) -> None:
    """Give each picture, in place, an alternative text as ``metadata["alt"]`` of its output.

    That is the text that came with it. What is no text but the repr of a figure, as matplotlib's is, says
    nothing: then it is its number and the heading that it stands under, or the title of the notebook.
    """
    number, heading = 0, title
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (_HEADING.findall(_FENCED.sub("", cell.source)) or [heading])[-1]
        for output in cell.get("outputs", []):
            if _is_picture(output.get("data", {})):
                number += 1
                text = " ".join(output.data.get("text/plain", "").split())
                told = text and not _REPR.match(text)
                output.metadata["alt"] = text if told else f"Figure {number}: {heading}"


def _is_picture(data: NotebookNode) -> bool:
    return PLOTLY in data or ("text/html" not in data and any(kind in data for kind in _PICTURES))
