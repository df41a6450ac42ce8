"""``prepare``: everything that can be refused is refused here, before a kernel starts."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.parameters import Notebook
from workbench.report.folder import NOTEBOOK, REQUEST, new_folder, read_json, write_json, write_whole


@dataclasses.dataclass(frozen=True)
class Request:
    """What a run folder asks for.

    Attributes
    ----------
    name, title : str
        Of the notebook.
    source : str
        Path of the notebook that was copied into the folder.
    directory : str
        Working directory of the kernel.
    preset : str or None
    parameters : dict
        A value for every parameter.
    changed : dict
        Those that differ from the defaults: what papermill injects.
    timeout, cell_timeout : int
        Limits for the whole run and for one cell, in seconds.
    threads : int or None
        Of each process of the run; None leaves it to the environment.
    preview : bool
        Whether the run is forked from a process that has done its imports: a quick look, no finished run.
    """

    name: str
    title: str
    source: str
    directory: str
    preset: str | None
    parameters: dict[str, Any]
    changed: dict[str, Any]
    timeout: int
    cell_timeout: int
    threads: int | None = None
    preview: bool = False


def prepare(
    notebook: Notebook,
    values: Mapping[str, Any],
    *,
    preset: str | None = None,
    folder: Path | None = None,
    timeout: int = 14_400,
    cell_timeout: int = 7200,
    threads: int | None = None,
) -> Path:
    """Check what is asked and write a run folder that :func:`workbench.report.launch.launch` runs.

    Parameters
    ----------
    notebook : Notebook
    values : mapping of str to Any
        Values of parameters, typed or as text; they win over the preset.
    preset : str, optional
    folder : Path, optional
        The run folder, new or empty; by default a new one in ``reports/NAME/``.
    timeout, cell_timeout : int
        Limits for the whole run and for one cell, in seconds.
    threads : int, optional
        Of each process of the run; by default the environment says.

    Returns
    -------
    Path
        The run folder, absolute.

    Raises
    ------
    ValueError
        If a value, the preset or the problem is not allowed, or the folder cannot be written.
    """
    request = make_request(
        notebook, values, preset=preset, timeout=timeout, cell_timeout=cell_timeout, threads=threads
    )
    try:
        return _written(request, folder)
    except OSError as error:
        place = folder or paths.reports() / notebook.name
        raise ValueError(f"cannot write the report to {place}: {error.strerror}") from error


def make_request(
    notebook: Notebook,
    values: Mapping[str, Any],
    *,
    preset: str | None,
    timeout: int,
    cell_timeout: int,
    threads: int | None = None,
    preview: bool = False,
) -> Request:
    """Check what is asked, and write nothing.

    Raises
    ------
    ValueError
        If a value, the preset or the problem is not allowed.
    """
    parameters = notebook.validate(values, preset)
    _require_problem(parameters)
    return Request(
        name=notebook.name,
        title=notebook.title,
        source=str(notebook.path),
        directory=str(Path.cwd()),
        preset=preset,
        parameters=parameters,
        changed={
            each.name: parameters[each.name]
            for each in notebook.parameters
            if parameters[each.name] != each.default
        },
        timeout=timeout,
        cell_timeout=cell_timeout,
        threads=threads,
        preview=preview,
    )


def write_request(folder: Path, request: Request, notebook: str) -> None:
    """Write what a run starts from into its folder."""
    write_whole(folder / NOTEBOOK, notebook)
    write_json(folder / REQUEST, dataclasses.asdict(request))


def read_request(folder: Path) -> Request:
    """Read what a run folder asks for."""
    return Request(**read_json(folder / REQUEST))


def _require_problem(parameters: dict[str, Any]) -> None:
    if isinstance(name := parameters.get("problem"), str):
        from workbench.problems import check_name

        check_name(name)


def _written(request: Request, folder: Path | None) -> Path:
    if folder is None:
        folder = new_folder(paths.reports() / request.name)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"the folder {folder} is not empty; a report needs a new one")
    folder = folder.resolve()
    write_request(folder, request, clean_notebook(Path(request.source)))
    return folder


def clean_notebook(path: Path) -> str:
    """Return a notebook file's text without outputs."""
    content = read_json(path)
    content["metadata"].pop("widgets", None)
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return json.dumps(content, indent=1, ensure_ascii=False)
