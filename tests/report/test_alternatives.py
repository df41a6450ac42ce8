"""Every picture of a page says what it is."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.report.alternatives import PLOTLY, name_pictures


def shown(**data):
    return new_code_cell("x", outputs=[new_output("display_data", data=data)])


def alternatives(*cells):
    notebook = new_notebook(cells=list(cells))
    name_pictures(notebook, "A title")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.metadata.get("alt") for output in outputs]


@pytest.mark.parametrize("kind", ["image/png", "image/svg+xml", "image/jpeg", PLOTLY])
def test_a_text_that_came_with_a_picture(kind):
    assert alternatives(shown(**{kind: "…", "text/plain": "5 eigenpairs,\n  all converged"})) == [
        "5 eigenpairs, all converged"
    ]


@pytest.mark.parametrize("text", ["<Figure size 640x480 with 1 Axes>", "Figure({\n 'data': []})", ""])
def test_a_repr_says_nothing(text):
    picture = {"image/png": "…", "text/plain": text}
    assert alternatives(shown(**picture)) == ["Figure 1: A title"]


def test_the_number_and_the_heading_above_it():
    picture = {"image/png": "…"}
    cells = [
        shown(**picture),
        new_markdown_cell("# First #\n\ntext\n\n## About $H$\n\n```python\n# no heading\n```"),
        shown(**{"text/html": "<table>", "image/png": "…"}),
        shown(**picture),
        new_markdown_cell("no heading"),
        shown(**{PLOTLY: {}}),
    ]
    assert alternatives(*cells) == ["Figure 1: A title", None, "Figure 2: About $H$", "Figure 3: About $H$"]
