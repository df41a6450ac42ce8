"""Sections and overviews as HTML that needs nothing from the network."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, select_autoescape

from workbench import paths
from workbench.parameters import list_notebooks

if TYPE_CHECKING:
    from workbench.overview.overview_result import Overview
    from workbench.overview.section import Section

_FOLDER = Path(__file__).parent / "template"


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def section_html(section: "Section", problem: str = "") -> str:
    """A section as a piece of a page; ``problem`` is what a command line calls the problem."""
    return _templates().get_template("section.html.j2").render(section=section, problem=problem, notebooks={})


def heading_html(overview: "Overview") -> str:
    """What an overview says before its sections: the budget, what was left out, the warnings."""
    return _templates().get_template("heading.html.j2").render(overview=overview)


def page_html(overview: "Overview", path: Path) -> str:
    """A whole page, as it stands in the file ``path``."""
    return (
        _templates()
        .get_template("page.html.j2")
        .render(overview=overview, style=_style(), notebooks=_notebooks_from(path))
    )


def _notebooks_from(page: Path) -> dict[str, str]:
    """Addresses of the notebooks by name, for a page of their project; none for one elsewhere."""
    folder, start = paths.notebooks().resolve(), page.resolve().parent
    if not start.is_relative_to(folder.parent):
        return {}
    return {
        each.name: quote(Path(os.path.relpath(folder / each.path.name, start)).as_posix())
        for each in list_notebooks()
    }


def with_style(body: str) -> str:
    """A piece with its style beside it, for a notebook."""
    return f"<style>{_style()}</style>{body}"


def _style() -> str:
    return (_FOLDER / "pieces.css").read_text()
