"""``sweep``: one run for every point of a grid, on Dask, each at most once, and what they recorded.

The folder of a sweep::

    KEY/             one run folder for each point, named by what the run depends on
    .lock            held by everyone who runs the sweep, together
    summary.parquet  one row for each point
    sweep.html       the page
"""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import paths
from workbench.parameters import Notebook, read_notebook
from workbench.report.folder import RUN, locked, read_json
from workbench.report.forking import zygote
from workbench.report.grid import points, read_grid
from workbench.report.key import digest, run_key
from workbench.report.outcome import INTERNAL
from workbench.report.prepare import Request, clean_notebook, make_request
from workbench.report.progress import Progress
from workbench.report.signals import kept_signals
from workbench.report.task import Point, state

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

SUMMARY = "summary.parquet"
SWEEP_PAGE = "sweep.html"
_COLUMNS = ("run", "status", "exit_code", "seconds", "error")


@dataclass(frozen=True)
class SweptRun:
    """One point of a sweep.

    Attributes
    ----------
    name : str
        Its folder in the folder of the sweep.
    parameters : dict
        A value for every parameter.
    status : str
        As in ``run.json``; ``"lost"`` if its workers died or its task broke, ``"not run"`` if the sweep was
        stopped before.
    exit_code : int
    seconds : float or None
    error : str or None
    figures : dict
        What it recorded, by name.
    """

    name: str
    parameters: dict[str, Any]
    status: str
    exit_code: int
    seconds: float | None
    error: str | None
    figures: dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """What a sweep ended with.

    Attributes
    ----------
    notebook : Notebook
    grid : dict
        The values of each swept parameter.
    folder : Path
    runs : tuple of SweptRun
        In the order of the grid; the last parameter changes fastest.
    stopped : int or None
        The signal that stopped the sweep.
    preview : bool
        Whether its runs are previews.
    """

    notebook: Notebook
    grid: dict[str, list[Any]]
    folder: Path
    runs: tuple[SweptRun, ...]
    stopped: int | None = None
    preview: bool = False

    @property
    def exit_code(self) -> int:
        """0 if every run is good, 128 + signal if the sweep was stopped, else the first failure's code."""
        if self.stopped is not None:
            return 128 + self.stopped
        return next((run.exit_code for run in self.runs if run.exit_code), 0)

    def frame(self) -> "pd.DataFrame":
        """One row per run: its folder, every parameter, how it ended, and every figure that it recorded.

        Columns of no parameter or figure are ``run``, ``status``, ``exit_code``, ``seconds`` and ``error``.
        A parameter that is called like one of these is called ``NAME_parameter``, a figure that is called
        like any other column ``NAME_recorded``. Lists and dictionaries are JSON text.
        """
        import pandas as pd

        rows = [self._row(run) for run in self.runs]
        names = dict.fromkeys(name for row in rows for name in row)
        return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for people: name, swept parameters, status, seconds and figures of each run."""
        texts = {each.name: each.text for each in self.notebook.parameters}
        figures = list(self.figure_columns())
        rows = [
            [
                run.name,
                *(texts[name](run.parameters[name]) for name in self.grid),
                run.status,
                _text(run.seconds, ".1f"),
                *(_text(run.figures.get(name), ".6g") for name in figures),
            ]
            for run in self.runs
        ]
        return ["run", *self.grid, "status", "seconds", *figures], rows

    def parameter_column(self, name: str) -> str:
        """Name of a parameter's column in the frame."""
        return f"{name}_parameter" if name in _COLUMNS else name

    def figure_columns(self) -> dict[str, str]:
        """Name of each recorded figure's column in the frame, in the order of recording."""
        taken = {*_COLUMNS, *(self.parameter_column(each.name) for each in self.notebook.parameters)}
        names = dict.fromkeys(name for run in self.runs for name in run.figures)
        return {name: f"{name}_recorded" if name in taken else name for name in names}

    def plot(self) -> "go.Figure":
        """Draw the recorded numbers over the grid with plotly: one panel each.

        The first swept parameter is the axis; each combination of the others is a line.
        """
        from workbench.report.sweep_page import draw

        return draw(self)

    def summary(self) -> str:
        """How many runs ended how, in one line."""
        statuses = [run.status for run in self.runs]
        counts = (f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
        kind = "previews" if self.preview else "runs"
        return f"{len(statuses)} {kind} of {self.notebook.name}: {', '.join(counts)}"

    def write(self) -> None:
        """Write ``summary.parquet`` and ``sweep.html`` into the folder, each whole or not at all."""
        from workbench.report.sweep_page import write_sweep_page

        partial = self.folder / f".{SUMMARY}.{os.getpid()}"
        _writable(self.frame()).to_parquet(partial, index=False)
        partial.replace(self.folder / SUMMARY)
        write_sweep_page(self, self.folder / SWEEP_PAGE)

    def _row(self, run: SweptRun) -> dict[str, Any]:
        columns = self.figure_columns()
        return {
            "run": run.name,
            **{
                self.parameter_column(each.name): _cell(each.text, run.parameters[each.name])
                for each in self.notebook.parameters
            },
            "status": run.status,
            "exit_code": run.exit_code,
            "seconds": run.seconds,
            "error": run.error,
            **{columns[name]: value for name, value in run.figures.items()},
        }


def sweep(
    notebook: Notebook | str | Path,
    grid: Mapping[str, str | Sequence[Any]],
    *,
    values: Mapping[str, Any] | None = None,
    preset: str | None = None,
    folder: Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    threads: int = 1,
    timeout: int = 14_400,
    cell_timeout: int = 7200,
    retry: bool = False,
    preview: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Sweep:
    """Run a notebook at every point of a grid.

    Asked again, it runs only what is not done: each run is named by what it depends on (see
    :func:`workbench.report.key.run_key`), and a run that ended well is never repeated. No two executions of
    one run overlap, as long as ``flock`` holds on the file system of the folder. Ctrl-C and SIGTERM stop all
    runs; what is done is kept, and the next call goes on from there.

    Parameters
    ----------
    notebook : Notebook, str or Path
        A notebook, the name of one that ships with Workbench, or a path.
    grid : mapping of str to str or sequence
        The values of each swept parameter.
    values : mapping of str to Any, optional
        Of parameters that are not swept.
    preset : str, optional
        Of the notebook.
    folder : Path, optional
        Of the sweep; by default one in ``reports/NAME/sweeps/``, the same for every grid over the same
        parameters with the same other values.
    workers : int, optional
        Runs at once on this machine; by default as many as the threads leave room for.
    scheduler : str, optional
        Address of a running Dask scheduler, whose workers see the same files, instead of this machine.
    threads : int
        Of each process of a run (``OMP_NUM_THREADS``).
    timeout, cell_timeout : int
        Limits for a whole run and for one cell, in seconds.
    retry : bool
        Run those again that failed before; what they left is removed.
    preview : bool
        A quick look: fork each run from a process, on this machine, that has done its imports. Previews are
        kept apart from runs proper, by default in a folder of their own, and never count as such.
    on_progress : callable
        Takes a :class:`workbench.report.progress.Progress` whenever it changed.

    Returns
    -------
    Sweep
        Also written to the folder as ``summary.parquet`` and ``sweep.html``.

    Raises
    ------
    ValueError
        Before anything starts: if a value, the preset or a problem is not allowed, the folder cannot be
        written, Dask is not installed, the scheduler does not answer, or previews are not possible here.
    """
    if workers is not None and scheduler is not None:
        raise ValueError("workers are those of the scheduler; give one or the other")
    if preview and (scheduler is not None or threads != 1):
        raise ValueError("previews run on this machine, each with one thread: no other scheduler or threads")
    if not isinstance(notebook, Notebook):
        notebook = read_notebook(notebook)
    values = values or {}
    typed = read_grid(notebook, grid, values, preset)
    requests = [
        make_request(
            notebook,
            {**values, **point},
            preset=preset,
            timeout=timeout,
            cell_timeout=cell_timeout,
            threads=threads,
            preview=preview,
        )
        for point in points(typed)
    ]
    folder = _made(folder or _default_folder(notebook, typed, requests[0]))
    with locked(folder, shared=True):  # `workbench clean` leaves it alone, also between two of its runs
        planned = _planned(folder, requests, clean_notebook(notebook.path), retry)
        with kept_signals() as signals:
            ended = _run(planned, scheduler, workers, threads, signals, on_progress)
            runs = tuple(_swept(point, ended) for point in planned)
        result = Sweep(notebook, typed, folder, runs, signals[0] if signals else None, preview)
        result.write()
    return result


def _default_folder(notebook: Notebook, grid: Mapping[str, Any], request: Request) -> Path:
    """Name the folder by what is not swept, so that a grid with more values finds the runs that are done."""
    rest = {name: value for name, value in request.parameters.items() if name not in grid}
    name = f"{'-'.join(grid)}-{digest(rest)[:8]}{_suffix(request)}"
    return paths.reports() / notebook.name / "sweeps" / name


def _suffix(request: Request) -> str:
    return "-preview" if request.preview else ""


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write the sweep to {folder}: {error.strerror}") from error
    return folder.resolve()


def _planned(folder: Path, requests: Sequence[Request], notebook: str, retry: bool) -> list[Point]:
    planned = []
    for request in requests:
        place = folder / f"{run_key(request, notebook)}{_suffix(request)}"
        replaces = state(place) if _is_to_be_replaced(place, retry) else None
        planned.append(Point(place, request, notebook, replaces))
    return planned


def _is_to_be_replaced(folder: Path, retry: bool) -> bool:
    """Whether a run ended, but does not count: it was interrupted, or failed and is to be tried again."""
    run = _finished(folder)
    return run is not None and (run["status"] == "interrupted" or (retry and run["status"] != "ok"))


def _finished(folder: Path) -> dict[str, Any] | None:
    return read_json(folder / RUN) if (folder / RUN).exists() else None


def _run(
    planned: Sequence[Point],
    scheduler: str | None,
    workers: int | None,
    threads: int,
    signals: list[int],
    on_progress: Callable[[Progress], None],
) -> dict[str, dict[str, Any]]:
    """Run what is to be run; returns what is known of runs that have ended, by the name of their folder."""
    kept = {
        point.folder.name: run
        for point in planned
        if point.replaces is None and (run := _finished(point.folder)) is not None
    }
    missing = [point for point in planned if point.folder.name not in kept]
    last: list[Progress] = []

    def on_change(begun: set[str], ended: Mapping[str, dict[str, Any]]) -> None:
        everything = [*kept.values(), *ended.values()]
        done = sum(run["status"] == "ok" for run in everything)
        now = Progress(done, len(everything) - done, len(begun - ended.keys()), len(planned))
        if last != [now]:
            last[:] = [now]
            on_progress(now)

    on_change(set(), {})
    if not missing:
        return kept
    from workbench.report.cluster import connected, run_points

    forked = zygote() if missing[0].request.preview else contextlib.nullcontext()
    with forked as source, connected(scheduler, workers, threads) as client:
        return {**kept, **run_points(client, missing, signals, on_change, source)}


def _swept(point: Point, ended: Mapping[str, dict[str, Any]]) -> SweptRun:
    run = ended.get(point.folder.name)
    if run is None or run["status"] == "lost":  # it may have ended since, by itself
        run = _finished(point.folder) or run or {"status": "not run", "exit_code": 0}
    return SweptRun(
        name=point.folder.name,
        parameters=point.request.parameters,
        status=run["status"],
        exit_code=run.get("exit_code", INTERNAL),
        seconds=run.get("seconds"),
        error=run.get("error"),
        figures={name: figure["value"] for name, figure in run.get("recorded", {}).items()},
    )


def _cell(text: Callable[[Any], str], value: Any) -> Any:
    return text(value) if isinstance(value, list | dict) else value


def _column(values: list[Any]) -> "pd.Series":
    """Values of one type, some of them missing, keep their type; a whole float stays a float."""
    import pandas as pd

    types = {type(value) for value in values if value is not None}
    for allowed, dtype in (
        ({bool}, "boolean"),
        ({int}, "Int64"),
        ({int, float}, "Float64"),
        ({str}, "string"),
    ):
        if types and types <= allowed:
            return pd.Series(values, dtype=dtype)
    return pd.Series(values, dtype=object)


def _writable(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Values of several types, or of none, become text: a Parquet column has one type."""
    return frame.astype({name: "string" for name in frame if frame[name].dtype == object})


def _text(value: Any, form: str) -> str:
    return "" if value is None else format(value, form) if isinstance(value, float) else str(value)
