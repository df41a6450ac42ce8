"""How every explorer's figure looks: on a light and on a dark page, for all kinds of colour vision."""

import plotly.graph_objects as go

BLUE_BAND = "rgba(0,114,178,0.35)"
SHARES = {"colorscale": "Blues", "zmin": 0, "zmax": 1}  # of a heat map
_GRAY = "#767676"  # readable on white and on JupyterLab's dark ground
_GRID = "rgba(128,128,128,0.25)"


def styled(figure: go.Figure, *, height: int = 460) -> go.Figure:
    """Give a figure the common look, in place: no ground of its own, gray text, legend below."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 60, "b": 60},
        legend={"orientation": "h", "y": -0.2},
        template="plotly_white",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _GRAY},
    )
    axis = {"gridcolor": _GRID, "zerolinecolor": _GRID, "linecolor": _GRID}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_annotations(font_size=14)  # the titles of plots side by side
    return figure
