"""The view of sections: what each part of an overview found, and what it cost."""

from typing import cast

import plotly.graph_objects as go

from workbench.colors import BLUE
from workbench.explore.figure_data import as_list
from workbench.explore.overview_parts import CONTROLS, overview_code, overview_of, with_named_rows, wrapped
from workbench.explore.view import Results, View
from workbench.overview import Overview

_LEAST = 1e-3  # gradients: a logarithmic axis has no zero
_HELP = """
<p>The sections of the overview and what each cost, in gradients over the data. Point at one to read what it
found; the number behind its name is that of its warnings.</p>"""


def _figure() -> go.Figure:
    """One trace without data."""
    figure = go.Figure()
    figure.add_scatter(
        name="sections",
        mode="markers",
        marker={"color": BLUE, "size": 12},
        hovertemplate="%{text}<extra></extra>",
    )
    return with_named_rows(figure, "gradients spent")


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(Overview, results["overview"])
    sections = found.sections.values()
    (points,) = figure.data
    points.x = as_list([max(section.gradients, _LEAST) for section in sections])
    points.y = [f"{section.title} ({len(section.cautions)})" for section in sections]
    points.text = [wrapped(section.sentence, 60) for section in sections]
    figure.layout.title.text = wrapped(found.account, 110)


SECTIONS = View(
    title="Sections",
    notebook="overview",
    help=_HELP,
    figure=_figure,
    compute=overview_of,
    draw=_draw,
    code=overview_code,
    controls=CONTROLS,
)
