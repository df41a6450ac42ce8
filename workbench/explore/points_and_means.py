"""Traces of single values with their mean and its interval, a pair for each of what is compared."""

import plotly.graph_objects as go


def add_points_and_means(figure: go.Figure, name: str, color: str, column: int, label: str = "") -> None:
    """Add two traces without data to the first row of a figure: points, then a mean with its bar.

    Parameters
    ----------
    figure : go.Figure
        With subplots.
    name, color : str
        Of both.
    column : int
        Where they stand.
    label : str
        What stands before a value under the cursor, such as ``"%{text}: "``.
    """
    figure.add_scatter(
        name=name,
        showlegend=False,
        mode="markers",
        marker={"color": color, "size": 6, "opacity": 0.5},
        hovertemplate=f"{label}%{{y:.4g}}<extra>%{{fullData.name}}</extra>",
        row=1,
        col=column,
    )
    figure.add_scatter(
        name=name,
        showlegend=False,
        mode="markers",
        marker={"color": color, "size": 11, "symbol": "line-ew-open"},
        error_y={"type": "data", "thickness": 1.5, "width": 6},
        hovertemplate="%{y:.4g} ± %{error_y.array:.2g}<extra>%{fullData.name}</extra>",
        row=1,
        col=column,
    )
