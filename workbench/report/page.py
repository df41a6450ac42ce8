"""One self-contained HTML page from an executed notebook.

The page needs nothing from the network and a Content-Security-Policy in it says so: pictures, style and
plotly.js (compressed, and only where a figure needs it) are inside, maths is MathML. What cannot be shown on
such a page (a live widget, a remote picture, a formula that cannot be set) leaves a visible note.
"""

import base64
import copy
import html
import logging
import re
import uuid
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from traitlets.config import Config

from workbench.report.alternatives import PLOTLY, name_pictures
from workbench.report.document import inline_json, packed_plotly
from workbench.report.folder import write_whole
from workbench.report.mathml import ReportRenderer, markdown_problems, render_markdown

_log = logging.getLogger(__name__)

_WIDGET = "application/vnd.jupyter.widget-view+json"
_PRIORITY = [PLOTLY, "text/html", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]
_HIDDEN_TAGS = {"parameters", "injected-parameters", "papermill-error-cell-tag"}
_PROGRESS_BAR = re.compile(r"(\d+%\|.*\||\d+it) .*\[\d+:\d+")
_REMOTE = re.compile(
    r"<(?:img|script|link|iframe|source)\b[^>]*?\b(?:src|href)\s*=\s*[\"']?(https?://[^\"'\s>]+)"
)


def write_page(
    notebook: NotebookNode,
    path: Path,
    *,
    title: str,
    parameters: list[tuple[str, str, str]],
    status: str,
    details: dict[str, str],
    command: str = "",
) -> None:
    """Write an executed notebook as a page that opens from ``file://`` without any request.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook as it ran, whole or up to where it failed; it is not changed.
    path : Path
        Where to write; the file appears whole or not at all.
    title : str
        Heading of the page; a first heading of the notebook that says the same is left out.
    parameters : list of (name, value, meaning)
        The parameters of the run.
    status : str
        ``"ok"``, or in a word or two what went wrong; any other word marks the report as failed, as does an
        error output in a cell that is not tagged ``raises-exception``.
    details : dict of str to str
        Versions, timings and the like; shown in a fold-out.
    command : str
        The line that runs this report again; left out if empty.

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    folder = _source_folder(notebook, path)
    shown, problems = _prepared(notebook, title, folder)
    failed_cell, reason = _failure(shown, status)
    page = {
        "title": title,
        "status": status,
        "failed": failed_cell is not None or status != "ok",
        "failed_cell": f"cell-id={failed_cell.id}" if failed_cell else None,
        "reason": reason,
        "problems": problems,
        "parameters": parameters,
        "details": details,
        "command": command,
        "plotly": packed_plotly() if _has_plotly(shown) else None,
    }
    for problem in problems:
        _log.warning("%s: %s", path.name, problem)
    body, _ = _Exporter(folder).from_notebook_node(shown, {"page": page})
    write_whole(path, body)


class _Exporter(HTMLExporter):
    """nbconvert's exporter with the template beside this file and our Markdown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__(
            config=Config({"NbConvertBase": {"display_data_priority": _PRIORITY}}),
            template_name="template",
            extra_template_basedirs=[str(Path(__file__).parent)],
            exclude_input_prompt=True,
            exclude_output_prompt=True,
        )

    def default_filters(self) -> Any:
        """Add the filter that writes JSON into a script tag."""
        yield from super().default_filters()
        yield "inline_json", inline_json

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Render a Markdown cell."""
        attachments = context.get("cell", {}).get("attachments", {})
        return render_markdown(source, ReportRenderer(self._folder, attachments))


def _source_folder(notebook: NotebookNode, path: Path) -> Path:
    """Return what local pictures are relative to: the folder of the source, if papermill noted it."""
    source = notebook.metadata.get("papermill", {}).get("input_path")
    return Path(source).resolve().parent if source else path.resolve().parent


def _prepared(notebook: NotebookNode, title: str, folder: Path) -> tuple[NotebookNode, list[str]]:
    """Return a copy that holds only what a static page can show, and what it could not keep."""
    shown = copy.deepcopy(notebook)
    shown.metadata.pop("widgets", None)
    shown.cells = [cell for cell in shown.cells if not _is_hidden(cell)]
    _drop_title(shown, title)
    shown, _ = CoalesceStreamsPreprocessor().preprocess(shown, {})
    problems = markdown_problems(shown, folder)
    for cell in shown.cells:
        cell.setdefault("id", uuid.uuid4().hex[:8])  # notebooks before nbformat 4.5 have none
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_progress_bar(output)]
            for output in cell.outputs:
                problems += _make_static(output, folder)
    name_pictures(shown, title)
    return shown, problems


def _is_hidden(cell: NotebookNode) -> bool:
    """Whether the page's heading says it better: parameters, and papermill's own error notice."""
    tagged = not _HIDDEN_TAGS.isdisjoint(cell.metadata.get("tags", []))
    return tagged and not any(output.output_type == "error" for output in cell.get("outputs", []))


def _drop_title(notebook: NotebookNode, title: str) -> None:
    first = notebook.cells[0] if notebook.cells else None
    if first and first.cell_type == "markdown":
        line, _, rest = first.source.lstrip().partition("\n")
        if line.startswith("# ") and line[2:].strip() == title.strip():
            first.source = rest.lstrip("\n")


def _is_progress_bar(output: NotebookNode) -> bool:
    """Whether this is tqdm's widget, which says nothing once the run is over."""
    data = output.get("data", {})
    return _WIDGET in data and bool(_PROGRESS_BAR.search(data.get("text/plain", "")))


def _make_static(output: NotebookNode, folder: Path) -> list[str]:
    """Turn one output, in place, into what a page without a kernel or a network can show."""
    if "data" not in output:
        return []
    data = output.data
    if PLOTLY in data:
        output.metadata["still"] = _still(data)
        return []
    problems: list[str] = []
    if "text/html" not in data:
        source = data.get("text/markdown") or data.get("text/latex")
        if source:
            renderer = ReportRenderer(folder)
            data["text/html"] = render_markdown(source, renderer)
            problems += renderer.problems
    is_live = bool(data.keys() & {_WIDGET, "application/javascript"})
    if is_live and not data.keys() & set(_PRIORITY) - {"text/plain"}:
        data["text/html"] = '<p class="note">An interactive control stands here in JupyterLab.</p>'
    elif not data.keys() & set(_PRIORITY):
        kinds = html.escape(", ".join(sorted(data)) or "nothing")
        data["text/html"] = f'<p class="left-out">An output that a page cannot show: {kinds}</p>'
        problems.append(f"an output of type {kinds}")
    for address in _REMOTE.findall(data.get("text/html", "")):
        problems.append(f"an output needs {address} from the network")
    return problems


def _still(data: NotebookNode) -> str | None:
    """Return the picture that came with a plotly figure, as an address."""
    if "image/svg+xml" in data:
        content = base64.b64encode(data["image/svg+xml"].encode()).decode()
        return f"data:image/svg+xml;base64,{content}"
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f"data:{kind};base64,{data[kind].strip()}"
    return None


def _failure(notebook: NotebookNode, status: str) -> tuple[NotebookNode | None, str | None]:
    """Return the cell that failed, marked, and its error in a line; a killed kernel leaves no error."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in code:
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors and "raises-exception" not in cell.metadata.get("tags", []):
            cell.metadata["failed_here"] = True
            value = re.sub(r"\x1b\[[0-9;]*m", "", errors[0].evalue).strip()
            return cell, f"{errors[0].ename}: {value.splitlines()[0][:300] if value else ''}"
    unfinished = [cell for cell in code if cell.execution_count is None]
    if status == "ok" or not unfinished:
        return None, None
    unfinished[0].metadata["failed_here"] = True
    return unfinished[0], None


def _has_plotly(notebook: NotebookNode) -> bool:
    return any(
        PLOTLY in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )
