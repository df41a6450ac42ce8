"""Sections and overviews as HTML that needs nothing from the network."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, select_autoescape

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
    return _templates().get_template("section.html.j2").render(section=section, problem=problem)


def heading_html(overview: "Overview") -> str:
    """What an overview says before its sections: the budget, what was left out, the warnings."""
    return _templates().get_template("heading.html.j2").render(overview=overview)


def page_html(overview: "Overview") -> str:
    """A whole page."""
    return _templates().get_template("page.html.j2").render(overview=overview, style=_style())


def with_style(body: str) -> str:
    """A piece with its style beside it, for a notebook."""
    return f"<style>{_style()}</style>{body}"


def _style() -> str:
    return (_FOLDER / "pieces.css").read_text()
