"""The command line. What a command needs is imported when it runs, so that ``--help`` answers at once."""

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from workbench import __version__, paths

if TYPE_CHECKING:
    from workbench.report.sweep import Sweep

app = typer.Typer(
    help="Interactive, notebook-first analysis of the training of neural networks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich would double the time of --help
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the ``workbench`` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # None if the shell closed it
        sys.stdout.reconfigure(errors="replace")  # where λ cannot be shown, ? is better than the end of a run
    app(prog_name="workbench")


class _PairCommand(TyperCommand):
    """A command whose ``-p`` and ``-g`` take two values, a name and what it is set to, as in papermill.

    Typer has no repeatable option of two values, so the two are joined before it parses them.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        joined: list[str] = []
        rest = iter(args)
        for arg in rest:
            joined.append(arg)
            if arg in ("-p", "-g"):
                joined.append("=".join(islice(rest, 2)))
        return super().parse_args(ctx, joined)


_Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Notebooks; all if none is named.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="A notebook of `workbench list`, or a path.")]
_Pairs = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="NAME VALUE", help="Set a parameter; wins over --params. May be repeated."),
]
_ParamsFile = Annotated[
    Path | None, typer.Option("--params", metavar="FILE.yaml", help="Parameters of a file.")
]
_Preset = Annotated[str | None, typer.Option(help="Start from a preset of the notebook, e.g. small.")]
_Output = Annotated[
    Path | None, typer.Option("-o", metavar="DIR", help="Folder of the run, new or empty. [reports/NAME/RUN]")
]
_Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
_Timeout = Annotated[int, typer.Option(min=1, metavar="SECONDS", help="Limit for the whole run.")]
_CellTimeout = Annotated[int, typer.Option(min=1, metavar="SECONDS", help="Limit for one cell.")]


def _show_version(asked: bool) -> None:
    if asked:
        print(f"workbench {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command("list")
def list_command() -> None:
    """List the notebooks."""
    from workbench.parameters import list_notebooks

    notebooks = list_notebooks()
    width = max((len(notebook.name) for notebook in notebooks), default=0)
    for notebook in notebooks:
        print(f"{notebook.name:<{width}}  {notebook.title}")


@app.command()
def describe(name: _Name) -> None:
    """Show the parameters of a notebook and its presets."""
    from workbench.parameters import read_notebook

    with _bad_input():
        notebook = read_notebook(name)
        notebook.lint()
    print(f"{notebook.name}: {notebook.title}\n")
    _print_table(
        ("parameter", "type", "default", "range", "meaning"),
        [
            (each.name, each.type, each.text(each.default), each.range, each.meaning)
            for each in notebook.parameters
        ],
    )
    for preset, values in notebook.presets.items():
        print(f"preset {preset}: " + ", ".join(f"{key} = {value}" for key, value in values.items()))


@app.command(cls=_PairCommand)
def report(
    name: _Name,
    pairs: _Pairs = None,
    params: _ParamsFile = None,
    preset: _Preset = None,
    output: _Output = None,
    open_page: _Open = False,
    timeout: _Timeout = 7200,
    cell_timeout: _CellTimeout = 3600,
) -> None:
    """Run a notebook and write a self-contained page.

    Exit codes: 2 bad input, 3 a cell raised, 4 the kernel died, 5 a time limit, 130 Ctrl-C, 143 SIGTERM,
    70 a fault of Workbench itself.
    """
    from workbench.parameters import read_notebook
    from workbench.report.prepare import prepare
    from workbench.report.progress import say

    with _bad_input():
        values = {**_read_params(params), **_split(pairs or [])}
        folder = prepare(
            read_notebook(name),
            values,
            preset=preset,
            folder=output,
            timeout=timeout,
            cell_timeout=cell_timeout,
        )
    run = _launch(folder)
    if run["exit_code"]:
        _fail(run["exit_code"], f"{run['error']} ({_short(folder)}/notebook.ipynb)")
    page = folder / "report.html"
    say(_short(page))
    if open_page:
        _browse(page)


@app.command(cls=_PairCommand)
def sweep(
    name: _Name,
    axes: Annotated[
        list[str] | None,
        typer.Option("-g", metavar="NAME V1,V2,…", help="Sweep a parameter over values. May be repeated."),
    ] = None,
    pairs: _Pairs = None,
    params: _ParamsFile = None,
    preset: _Preset = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Runs at once here. [processors / threads]")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A running Dask scheduler, e.g. tcp://host:8786.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process of a run.")] = 1,
    timeout: _Timeout = 7200,
    cell_timeout: _CellTimeout = 3600,
    retry: Annotated[bool, typer.Option("--retry", help="Run those again that failed before.")] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="A quick look: imports are done once, not in each run.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="Folder of the sweep. [reports/NAME/sweeps/SWEEP]"),
    ] = None,
) -> None:
    """Run a notebook at every point of a grid; what is done is not run again.

    Exits 0 if every run is good, else with the code of the first that failed; 130 after Ctrl-C, 143 after
    SIGTERM, which keep what is done.
    """
    from workbench.report.outcome import INTERNAL
    from workbench.report.progress import say, sweep_progress
    from workbench.report.sweep import SWEEP_PAGE
    from workbench.report.sweep import sweep as run_sweep

    try:
        with _bad_input():
            swept = run_sweep(
                name,
                _split(axes or [], "-g"),
                values={**_read_params(params), **_split(pairs or [])},
                preset=preset,
                folder=output,
                workers=workers,
                scheduler=scheduler,
                threads=threads,
                timeout=timeout,
                cell_timeout=cell_timeout,
                retry=retry,
                preview=preview,
                on_progress=sweep_progress(),
            )
    except OSError as error:  # a full disk; what is done is done, and the same command goes on from there
        _fail(INTERNAL, f"the sweep could not be written down: {error}")
    _show_sweep(swept)
    say(_short(swept.folder / SWEEP_PAGE))
    raise typer.Exit(swept.exit_code)


@app.command()
def check(
    names: _Names = None,
    update: Annotated[
        bool, typer.Option("--update", help="Accept the figures as the new baselines.")
    ] = False,
    timeout: _Timeout = 600,
) -> None:
    """Run notebooks and compare their figures with the baselines.

    Each runs with its small preset; what it records is compared with reports/baselines/NAME.json.
    Exits 1 if a figure drifted, is missing or is new; a run that fails keeps its own code.
    """
    from workbench.parameters import list_notebooks, read_notebook
    from workbench.report.prepare import prepare

    with _bad_input():
        notebooks = [read_notebook(name) for name in names] if names else list_notebooks()
        folders = [
            prepare(notebook, {}, preset="small", timeout=timeout, cell_timeout=timeout)
            for notebook in notebooks
        ]
    codes = [
        _check(notebook.name, folder, update) for notebook, folder in zip(notebooks, folders, strict=True)
    ]
    failures = [code for code in codes if code > 1]
    raise typer.Exit(failures[0] if failures else max(codes, default=0))


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A run folder, NAME/RUN, or NAME/previous.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Likewise, or NAME/latest.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="FILE.html", help="The page. [in RUN_B's folder: compared-RUN_A.html]"),
    ] = None,
    open_page: _Open = False,
) -> None:
    """Put two runs side by side on a page: parameters, figures, results, versions.

    The tolerances are those that RUN_A recorded. Exits 1 if a figure differs or one of the runs failed.
    """
    from workbench.report.compare import compare_runs, figure_rows, is_same, write_comparison
    from workbench.report.outcome import DRIFT
    from workbench.report.runs import find_run

    with _bad_input():
        a, b = find_run(run_a), find_run(run_b)
        rows = compare_runs(a, b)
        page = (output or b.folder / f"compared-{a.folder.name}.html").absolute()
        try:
            write_comparison(a, b, rows, page)
        except OSError as error:
            raise ValueError(f"cannot write {page}: {error.strerror}") from error
    columns = ("name", "a", "b", "difference", "tolerance", "verdict")
    _print_table(
        ("figure", "A", "B", "B - A", "tolerance", "verdict"),
        [tuple(row[column] for column in columns) for row in figure_rows(rows)],
    )
    print(_short(page))
    if open_page:
        _browse(page)
    raise typer.Exit(0 if is_same(a, b, rows) else DRIFT)


@app.command()
def index(
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FILE.html", help="The page. [reports/index.html]")
    ] = None,
    open_page: _Open = False,
) -> None:
    """Write one page of all runs, with a picture of each and filters."""
    from workbench.report.index import write_index

    page = (output or paths.reports() / "index.html").absolute()
    with _bad_input():
        try:
            page.parent.mkdir(parents=True, exist_ok=True)
            runs = write_index(page)
        except OSError as error:
            raise ValueError(f"cannot write {page}: {error.strerror}") from error
    print(f"{_short(page)}: {runs} runs")
    if open_page:
        _browse(page)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(ctx: typer.Context) -> None:
    """Open JupyterLab on the notebooks.

    Further arguments go to `jupyter lab`.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else idle threads of two kernels starve each other
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernels of this environment before the user's
    command = [sys.executable, "-m", "jupyterlab", *ctx.args]
    os.execv(sys.executable, [*command, str(_lab_folder())])


def _lab_folder() -> Path:
    """Return the notebooks themselves in a checkout, elsewhere a copy that the user may edit."""
    shipped = paths.notebooks()
    if shipped.is_symlink():
        return shipped.resolve()
    import platformdirs

    own = Path(platformdirs.user_data_dir("workbench")) / f"notebooks-{__version__}"
    own.mkdir(parents=True, exist_ok=True)
    for notebook in shipped.glob("*.ipynb"):
        if not (own / notebook.name).exists():
            shutil.copy(notebook, own)
    return own


def _check(name: str, folder: Path, update: bool) -> int:
    from workbench.report.baseline import compare, read_baseline, write_baseline
    from workbench.report.outcome import BAD_INPUT, DRIFT

    run = _launch(folder)
    if run["exit_code"]:
        print(f"error: {name}: {run['error']} ({_short(folder)}/notebook.ipynb)", file=sys.stderr)
        if run["status"] == "interrupted":  # Ctrl-C is for the whole check
            raise typer.Exit(run["exit_code"])
        return run["exit_code"]
    if not run["recorded"]:
        print(f"error: {name} records no figure to hold: call wb.record in it", file=sys.stderr)
        return BAD_INPUT
    baseline = read_baseline(name)
    rows = compare(baseline, run)
    _print_table(
        ("figure", "baseline", "now", "relative", "tolerance", "verdict"),
        [
            (
                each.name,
                _figure(each.baseline),
                _figure(each.now),
                _figure(each.relative),
                each.tolerance,
                each.verdict,
            )
            for each in rows
        ],
    )
    drifted = sum(each.verdict != "ok" for each in rows)
    if update:
        write_baseline(name, run)
        print(f"{name}: baseline accepted, {drifted} changed")
        return 0
    if baseline["parameters"] is None:
        print(f"{name}: no baseline yet; --update accepts these figures", file=sys.stderr)
        return DRIFT
    if drifted:
        print(f"{name}: {drifted} of {len(rows)} figures drifted; --update accepts them", file=sys.stderr)
        return DRIFT
    print(f"{name}: {len(rows)} figures agree")
    return 0


def _launch(folder: Path) -> dict[str, Any]:
    from workbench.report.launch import launch
    from workbench.report.outcome import INTERNAL
    from workbench.report.progress import end_progress, say, show_progress

    say(_short(folder))
    try:
        run = launch(folder, show_progress)
    except OSError as error:  # a full disk; anything of the run itself is told in run.json
        say("")  # ends the line of a cell
        _fail(INTERNAL, f"the run in {_short(folder)} could not be written down: {error}")
    end_progress(run)
    return run


def _show_sweep(swept: "Sweep") -> None:
    from workbench.report.progress import say

    header, rows = swept.table()
    say("")
    _print_table(tuple(header), [tuple(row) for row in rows])
    for run in swept.runs:
        if run.error:
            print(f"{run.name}: {run.error}", file=sys.stderr)
    say(swept.summary())


def _read_params(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{path} does not hold `name: value` lines")
    return values


def _split(pairs: list[str], option: str = "-p") -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"{option} takes a name and a value; {pair!r} has no value")
    return dict(pair.split("=", 1) for pair in pairs)


@contextmanager
def _bad_input() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        _fail(2, str(error))


def _fail(code: int, message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(code)


def _print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in header:
        table.add_column(column, no_wrap=column == header[0], overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _browse(page: Path) -> None:
    import webbrowser

    webbrowser.open(page.as_uri())


def _short(path: Path) -> str:
    """``path`` from the working directory if it is inside it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
