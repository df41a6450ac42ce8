"""The still twin of a live explorer: what a saved notebook shows when its kernel is gone.

JupyterLab draws "model not found" for a widget whose kernel was restarted. The twin stands beside the widget
and is hidden while a living one is in the same output.
"""

from workbench.explore.still import png
from workbench.explore.view import Results

LIVE_CLASS = "wb-live"

_STYLE = f"""<style>
.jp-OutputArea:has(.{LIVE_CLASS}) .wb-static {{ display: none }}
.jp-OutputArea:has(.wb-static):not(:has(.{LIVE_CLASS}))
  .jp-OutputArea-output.jupyter-widgets {{ display: none }}
</style>"""


def twin(results: Results | None) -> str:
    """Return the twin as HTML: a small picture of the results, and what to do to have controls again."""
    shown = ""
    if results is not None:
        shown = (
            f'<img alt="the results when this was run" src="data:image/png;base64,{png(results, dpi=60)}">'
        )
    note = "<p><em>Run this cell to explore: the controls need a running kernel.</em></p>"
    return f'{_STYLE}<div class="wb-static">{shown}{note}</div>'
