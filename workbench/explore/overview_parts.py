"""What the views of an overview share: the overview itself, its code, and its controls."""

import html
import textwrap

import plotly.graph_objects as go

from workbench.explore.remembered import remembered, result_key
from workbench.explore.style import styled
from workbench.explore.view import Results, Values
from workbench.overview import analyze
from workbench.problem import Problem

CONTROLS = ("optimizer_name", "rate", "batch_size", "budget", "seed")


def overview_of(problem: Problem, values: Values) -> Results:
    """Return the overview that the controls ask for, computed once for all views."""

    def compute() -> Results:
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

    results, _ = remembered(result_key("overview of all", problem, values), compute)
    return results


def overview_code(values: Values) -> str:
    """Return the calls that give the same overview, from ``problem`` on."""
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


def with_named_rows(figure: go.Figure, title: str) -> go.Figure:
    """Give a figure rows with names, and a logarithmic axis with this title."""
    figure.update_xaxes(type="log", exponentformat="power", title_text=title)
    figure.update_yaxes(type="category", automargin=True, autorange="reversed")
    styled(figure)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def wrapped(text: str, width: int) -> str:
    """Text in lines, for plotly."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width))
