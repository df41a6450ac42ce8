"""The still twin of a live explorer: what a saved notebook shows when its kernel is gone.

JupyterLab draws "model not found" for a widget whose kernel was restarted. The twin stands beside the widget
and is hidden while a living one is in the same output.
"""

import ipywidgets as widgets
from IPython.display import HTML, display

from workbench.explore.still import png
from workbench.explore.view import Results

_LIVE = "wb-live"
_STYLE = f"""<style>
.jp-OutputArea:has(.{_LIVE}) .wb-static {{ display: none }}
.jp-OutputArea:has(.wb-static):not(:has(.{_LIVE}))
  .jp-OutputArea-output.jupyter-widgets {{ display: none }}
</style>"""


def display_with_twin(widget: widgets.DOMWidget, results: Results | None) -> None:
    """Display a live widget, and beside it a small picture of the results for the time after its kernel."""
    widget.add_class(_LIVE)
    display(widget._repr_mimebundle_(), raw=True)
    display(HTML(_twin(results)))


def _twin(results: Results | None) -> str:
    shown = ""
    if results is not None:
        shown = (
            f'<img alt="the results when this was run" src="data:image/png;base64,{png(results, dpi=60)}">'
        )
    note = "<p><em>Run this cell to explore: the controls need a running kernel.</em></p>"
    return f'{_STYLE}<div class="wb-static">{shown}{note}</div>'
