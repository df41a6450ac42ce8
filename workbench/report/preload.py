"""``preload``: import what runs and their kernels import, and start nothing, so that a fork finds it done.

Left out is what looks for a running kernel while it is imported and would find none: ``matplotlib.pyplot``.
plotly looks for one, too, and is told its answer by the environment.
"""

import gc
import importlib
import io
import os
import tempfile
from pathlib import Path

# With what a process that preloads must be started, beside the environment of a run with one thread, since
# NumPy starts more of them: what holds unless it is set otherwise, and what holds in any case.
DEFAULTS = {
    "PLOTLY_RENDERER": "plotly_mimetype",  # what plotly chooses in a kernel
}
ENVIRONMENT = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's memory allocator would start a thread
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # what a kernel sets before it runs a cell
}
_MODULES = (
    "workbench.report.no_iri_checks",  # before anything that imports jsonschema
    "ipykernel.kernelapp",  # before tqdm, which asks whether it is there
    "ipykernel.debugger",
    "torch._dynamo",  # which torch's optimizers import at their first step
    "pyarrow.parquet",
    "pandas",
    "anywidget",
    "matplotlib.backends.backend_agg",
    "plotly.graph_objs._figurewidget",
    "scipy.stats",
    "sklearn.datasets",
    "workbench.explore",
    "workbench.problems.digits_mlp",
    "workbench.report.execute",
    "papermill",
    "workbench.report.finish",
)


def preload() -> None:
    """Import it all.

    Raises
    ------
    RuntimeError
        If a thread was started: a fork would not have it, but might wait for it.
    """
    for name in _MODULES:
        importlib.import_module(name)
        require_one_thread(f"importing {name}")
    _rehearse()
    require_one_thread("drawing a page")
    gc.collect()
    gc.freeze()  # what no run can free need not be looked through, and copied, by the collector of each


def _rehearse() -> None:
    """Do once what is slow the first time: plotly's template, matplotlib's fonts, the templates of a page."""
    import nbformat
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

    from workbench.report.page import write_page

    figure = Figure()
    figure.subplots().semilogy([1, 10], label="$x$")
    figure.savefig(io.BytesIO(), bbox_inches="tight")
    output = nbformat.v4.new_output(
        "display_data", {"application/vnd.plotly.v1+json": go.Figure(go.Scatter()).to_dict()}
    )
    cells = [nbformat.v4.new_markdown_cell("$x$"), nbformat.v4.new_code_cell("x = 1", outputs=[output])]
    with tempfile.TemporaryDirectory() as folder:
        write_page(
            nbformat.v4.new_notebook(cells=cells),
            Path(folder, "page.html"),
            title="",
            parameters=[],
            status="ok",
            details={},
        )


def require_one_thread(after: str) -> None:
    """Raise RuntimeError if this process has more than one thread, and say after what."""
    threads = os.listdir("/proc/self/task")
    if len(threads) > 1:
        names = sorted({_name(thread) for thread in threads})
        raise RuntimeError(
            f"after {after} there are threads ({', '.join(names)}), so that nothing can be forked"
        )


def _name(thread: str) -> str:
    with open(f"/proc/self/task/{thread}/comm") as file:
        return file.read().strip()
