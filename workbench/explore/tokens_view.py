"""The view of the characters of a text: a row per method and layer, coloured by their part."""

from typing import cast

import numpy as np
import plotly.graph_objects as go

from workbench.explore.style import styled
from workbench.explore.view import Results, Values, View
from workbench.problem import Problem
from workbench.problems import load_problem
from workbench.saliency import TokenMaps
from workbench.saliency.experiments import explain_text

_ROW_PIXELS = 30
_SIGNS = str.maketrans({"\n": "⏎", " ": "␣"})
_HELP = """
<p>A small GPT (the problem <code>text-gpt</code>, trained at its first use) reads the text character by
character. Which of them made it expect the next one? Red speaks for that character and blue against it; norms
have no sign. Each row, a method at a layer, has its own scale.</p>
<p><code>rank</code> chooses which of the likeliest next characters is explained. After the last block only
the last character counts: what follows mixes no characters.</p>"""


def _compute(problem: Problem, values: Values) -> Results:
    writer = load_problem("text-gpt", epochs=values["text_epochs"])
    return {"characters": explain_text(writer, values["text"], rank=values["rank"], score=values["score"])}


def _code(values: Values) -> str:
    return (
        "import workbench as wb\n"
        "from workbench.saliency import experiments\n\n"
        f"writer = wb.load_problem('text-gpt', epochs={values['text_epochs']})\n"
        f"characters = experiments.explain_text(writer, {values['text']!r}, rank={values['rank']}, "
        f"score={values['score']!r})\n"
        "characters.plot()"
    )


def _figure() -> go.Figure:
    """A heat map without data, a row per method and layer, a column per character."""
    figure = go.Figure()
    figure.add_heatmap(
        colorscale="RdBu_r",
        zmin=-1,
        zmax=1,
        xgap=1,
        ygap=1,
        texttemplate="%{text}",
        textfont={"family": "monospace", "size": 13},
        colorbar={"thickness": 12, "title": {"text": "share of the row's largest"}},
        hovertemplate="%{y}, character %{x} %{text}: %{customdata:.3g}<extra></extra>",
    )
    figure.update_xaxes(title_text="place of the character", showgrid=False)
    figure.update_yaxes(type="category", automargin=True, autorange="reversed", showgrid=False)
    styled(figure)
    figure.update_layout(title={"font": {"size": 14}})
    return figure


def _draw(figure: go.Figure, results: Results) -> None:
    found = cast(TokenMaps, results["characters"])
    values = found.values[:, :, 0, 0].flatten(0, 1).double().cpu().numpy()
    largest = np.abs(values).max(axis=1, keepdims=True)
    (cells,) = figure.data
    signs = [character.translate(_SIGNS) for character in found.tokens[0]]
    cells.x = list(range(values.shape[1]))
    cells.y = [f"{method} · {layer}" for method in found.methods for layer in found.layers]
    cells.z = (values / np.where(largest > 0, largest, 1)).round(4).tolist()
    cells.customdata = values.tolist()
    cells.text = [signs] * len(values)
    figure.layout.height = 180 + _ROW_PIXELS * len(values)
    name, score = found.target_names[0][0], found.scores[0, 0].item()
    figure.layout.title.text = f"{found.score} of {name!r} as the next character: {score:.3g}"


TEXT = View(
    title="Text",
    notebook="saliency",
    help=_HELP,
    figure=_figure,
    compute=_compute,
    draw=_draw,
    code=_code,
    controls=("text", "rank", "score", "text_epochs"),
)
