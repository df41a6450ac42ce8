"""What all pages share: one self-contained file in one look, drawn from the templates beside this file.

Every value is escaped by the template engine; data for a script goes through ``inline_json``.
"""

import base64
import functools
import gzip
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workbench.report.folder import write_whole


def write_document(path: Path, template: str, **content: Any) -> None:
    """Write a page that opens from ``file://`` without any request.

    Parameters
    ----------
    path : Path
        Where to write; the file appears whole or not at all.
    template : str
        Name of a template that extends ``document.html.j2``.
    **content
        What the template names; escaped where it is text.

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    write_whole(path, _templates().get_template(template).render(content))


@functools.cache
def packed_plotly() -> str:
    """plotly.js, gzip and base64: 1.9 MB instead of 4.9."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def inline_json(value: Any) -> str:
    """JSON that neither ends the script tag it stands in nor opens a comment there."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline_json"] = lambda value: Markup(inline_json(value))
    return environment
