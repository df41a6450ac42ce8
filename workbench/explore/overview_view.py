"""The view of an overview: learning rates on one axis, and what each section found and cost."""

import html
import textwrap
from typing import cast

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.explore.figure_data import as_list
from workbench.explore.style import styled
from workbench.explore.view import Results, Values, View
from workbench.overview import Overview, analyze
from workbench.overview.sections.step_section import StepSection
from workbench.problem import Problem

_ROW_PIXELS = 40
_GREY = "#666666"
_HELP = """
<p><b>Left</b>: learning rates on one axis. The star is the largest that short trainings survive, with its
95 % interval; dots are what formulas say, the green band is worth trying, the red line is today's rate.
<b>Right</b>: the sections of the overview and what each cost, in gradients over the data; point at a bar to
read what it found. Warnings are counted in the heading.</p>
<p>The whole page, with its pictures: <code>overview.to_html("page.html")</code>.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    found = analyze(
        problem,
        values["optimizer_name"],
        budget=values["budget"],
        learning_rate=values["rate"] or None,
        batch_size=values["batch_size"],
        seed=values["seed"],
    )
    if found.interrupted:
        raise KeyboardInterrupt
    return {"overview": found}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n\n"
        "overview = wb.analyze(\n"
        f"    problem, {values['optimizer_name']!r}, budget={values['budget']!r}, "
        f"learning_rate={values['rate'] or None},\n"
        f"    batch_size={values['batch_size']}, seed={values['seed']}\n"
        ")\n"
        "print(overview)\n"
        'overview.to_html("overview.html")'
    )


def _figure() -> go.Figure:
    """All traces without data: what was tested, what formulas say, and the sections."""
    figure = make_subplots(1, 2, column_widths=[0.6, 0.4], horizontal_spacing=0.25)
    for name, color, symbol, size in (
        ("tested", BLUE, "star", 15),
        ("formulas", _GREY, "circle", 9),
    ):
        figure.add_scatter(
            name=name,
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": size},
            error_x={"type": "data", "symmetric": False, "array": [], "arrayminus": []},
            hovertemplate="%{y}: %{x:.3g}<extra></extra>",
            row=1,
            col=1,
        )
    figure.add_bar(
        name="gradients spent",
        orientation="h",
        marker={"color": BLUE},
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_xaxes(type="log", exponentformat="power", title_text="learning rate", row=1, col=1)
    figure.update_xaxes(title_text="gradients spent", row=1, col=2)
    figure.update_yaxes(type="category", automargin=True, autorange="reversed")
    styled(figure)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(Overview, results["overview"])
    tested, formulas, bars = figure.data
    step = found.sections.get("step")
    marks = step.marks if isinstance(step, StepSection) else []
    for trace, shown in (
        (tested, [m for m in marks if m.tested]),
        (formulas, [m for m in marks if not m.tested]),
    ):
        trace.x, trace.y = as_list([mark.value for mark in shown]), [mark.label for mark in shown]
        trace.error_x.array = as_list([mark.high - mark.value for mark in shown])
        trace.error_x.arrayminus = as_list([mark.value - mark.low for mark in shown])
    bars.y = [section.title for section in found.sections.values()]
    bars.x = as_list([section.gradients for section in found.sections.values()])
    bars.hovertext = [_wrapped(section.sentence) for section in found.sections.values()]
    figure.layout.shapes = _shapes(step) if isinstance(step, StepSection) else []
    figure.layout.title.text = _wrapped(found.sentence, 110)
    figure.layout.xaxis.title.text = (
        f"learning rate of {step.optimizer}" if isinstance(step, StepSection) else ""
    )
    figure.layout.height = 220 + _ROW_PIXELS * max(len(marks), len(found.sections))


def _shapes(step: StepSection) -> list[dict[str, object]]:
    """The band worth trying, and today's rate."""
    across = {"yref": "y domain", "y0": 0, "y1": 1}
    shapes: list[dict[str, object]] = []
    if step.advised is not None:
        low, high = step.advised
        band = {"type": "rect", "xref": "x", "x0": low, "x1": high}
        shapes.append({**band, "fillcolor": GREEN, "opacity": 0.15, "line_width": 0, **across})
    if step.rate is not None:
        line = {"type": "line", "xref": "x", "x0": step.rate, "x1": step.rate}
        shapes.append({**line, "line_color": VERMILION, **across})
    return shapes


def _wrapped(text: str, width: int = 60) -> str:
    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width))


OVERVIEW = View(
    title="Overview",
    notebook="overview",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    controls=("optimizer_name", "rate", "batch_size", "budget", "seed"),
)
