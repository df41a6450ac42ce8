"""The table of evidence in a figure: a heatmap of metrics by explainers, darker where better."""

import math

import numpy as np
import plotly.graph_objects as go

from workbench.explore.figure_data import as_list
from workbench.saliency.evidence import EvidenceTable


def add_table(figure: go.Figure, *, row: int, col: int) -> None:
    """Add the trace, without data."""
    figure.add_heatmap(
        colorscale="Blues",
        zmin=0,
        zmax=1.4,  # so that the darkest ground carries dark text, too
        showscale=False,
        xgap=2,
        ygap=2,
        texttemplate="%{text}",
        textfont={"size": 11, "color": "black"},
        hovertemplate="%{y}, %{x}: %{customdata}<extra></extra>",
        row=row,
        col=col,
    )
    figure.update_xaxes(side="bottom", row=row, col=col)
    figure.update_yaxes(type="category", dtick=1, automargin=True, autorange="reversed", row=row, col=col)


def draw_table(table: go.Heatmap, found: EvidenceTable | None, *, brief: bool = False) -> None:
    """Put evidence into the trace, a row per explainer and floor; without any it is not seen.

    If ``brief``, cells show means alone, and their intervals under the pointer.
    """
    table.visible = found is not None
    if found is None:
        return
    arrows = {"higher": " ↑", "lower": " ↓", "": ""}
    columns, shades, texts, means = [], [], [], []
    for metric in found.metrics:
        each = [metrics[metric] for metrics in found.evidence.values()]
        columns.append(metric.replace("_", " ") + arrows[each[0].better])
        shades.append(_shades([one.mean for one in each], each[0].better))
        texts.append([_cell(one.mean, one.low, one.high) for one in each])
        means.append([_cell(one.mean, math.nan, math.nan) for one in each])
    table.x, table.y = columns, list(found.evidence)
    table.z, table.text = as_list(np.array(shades).T), np.array(means if brief else texts).T.tolist()
    table.customdata = np.array(texts).T.tolist()


def _shades(means: list[float], better: str) -> list[float]:
    """From 0 for the worst of a column to 1 for the best; all alike where neither way is better."""
    known = [mean for mean in means if math.isfinite(mean)]
    if not better or not known or max(known) == min(known):
        return [0.0 if math.isfinite(mean) else math.nan for mean in means]
    low, high = min(known), max(known)
    shares = [(mean - low) / (high - low) for mean in means]
    return [1 - share for share in shares] if better == "lower" else shares


def _cell(mean: float, low: float, high: float) -> str:
    if not math.isfinite(mean):
        return "undefined"
    return f"{mean:.2f}" if not math.isfinite(low) else f"{mean:.2f} [{low:.2f}, {high:.2f}]"
