"""The still twin of a live explorer: what a notebook shows when its kernel is gone.

JupyterLab keeps the dead controls of a kernel that was restarted, each with a broken link, and in a saved
notebook says "Loading widget..." and then "model not found". The twin stands beside the widget and is hidden
while a living one is in the same output, as the widget is while none lives.
"""

import ipywidgets as widgets
from IPython.display import HTML, display

from workbench.explore.still import png
from workbench.explore.view import Results

_LIVE = "wb-live"
_ALIVE = f".{_LIVE}:not(.jupyter-widgets-disconnected)"
# The output of a widget is a Lumino panel; it has no class of its own while it is loading.
_STYLE = f"""<style>
.jp-OutputArea:has({_ALIVE}) .wb-static {{ display: none }}
.jp-OutputArea:has(.wb-static):not(:has({_ALIVE})) .jp-OutputArea-output.lm-Panel {{ display: none }}
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
