"""The command line. What a command needs is imported when it runs, so that ``--help`` answers at once."""

import io
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from workbench import __version__, paths
from workbench.memory import show_bytes

if TYPE_CHECKING:
    from workbench.report.check import Checked
    from workbench.report.clean import Removable
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
    timeout: _Timeout = 14_400,
    cell_timeout: _CellTimeout = 7200,
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
    timeout: _Timeout = 14_400,
    cell_timeout: _CellTimeout = 7200,
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
    from workbench.report.progress import runs_progress, say
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
                on_progress=runs_progress(),
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
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Runs at once. [processors]")
    ] = None,
    timeout: _Timeout = 600,
) -> None:
    """Run notebooks and compare their figures with the baselines.

    Each runs with its small preset and one thread; what it records is compared with
    reports/baselines/NAME.json. On drift, a page shows the figures and the pictures of then and now.
    Exits 1 if a figure drifted, is missing or is new; a run that fails keeps its own code.
    """
    from workbench.parameters import list_notebooks, read_notebook
    from workbench.report.check import check as run_check
    from workbench.report.check import exit_code
    from workbench.report.prepare import prepare
    from workbench.report.progress import runs_progress

    with _bad_input():
        notebooks = [read_notebook(name) for name in dict.fromkeys(names)] if names else list_notebooks()
        folders = [
            prepare(notebook, {}, preset="small", timeout=timeout, cell_timeout=timeout, threads=1)
            for notebook in notebooks
        ]
        checked = run_check(folders, update=update, workers=workers, on_progress=runs_progress())
    for each in checked:
        _show_checked(each)
    raise typer.Exit(exit_code(checked))


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


@app.command()
def clean(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Only what was asked for longer ago: 12h, 30d, 2w."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Leave the newest N of each notebook.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that are not good.")] = False,
    caches: Annotated[
        bool, typer.Option("--caches", help="The trained problems of the cache; alone, no runs.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove old runs: those to which all of --older-than, --keep and --failed apply.

    Without any of them, those older than 30 days. A sweep goes as a whole or stays. What runs is left alone,
    and so is what has not finished for a day, and whatever is not a run. Exits 1 if something could not be
    removed.
    """
    from workbench.report.clean import find_removable, read_age

    with _bad_input():
        age = None if older_than is None else read_age(older_than)
        found = find_removable(_note, older_than=age, keep=keep, failed=failed, caches=caches)
    if not found:
        print("there is nothing to remove")
        return
    _print_table(
        ("name", "what", "status", "from", "size"),
        [(each.name, each.what, each.status, _day(each.date), show_bytes(each.size)) for each in found],
    )
    print(f"{len(found)} to remove, {show_bytes(sum(each.size for each in found))}")
    if not dry_run and (yes or _agreed()):
        _remove(found)


@app.command()
def doctor() -> None:
    """Check this machine and environment, and say what to do about what is wrong.

    Exits 1 if there is a problem; a warning is none.
    """
    from workbench.doctor import PROBLEM, examine

    findings = examine()
    _print_table(
        ("check", "state", "value", "what to do"),
        [(each.check, each.state, each.value, each.advice) for each in findings],
    )
    raise typer.Exit(1 if any(each.state == PROBLEM for each in findings) else 0)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")] = Path("my_problem.py"),
) -> None:
    """Write a commented problem file to put your own model, loss and data into."""
    from workbench.starter import next_command, write_starter

    with _bad_input():
        write_starter(file)
    print(f"{file}: put your own model, loss and data there. It runs as it is:\n  {next_command(file)}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(ctx: typer.Context) -> None:
    """Open JupyterLab on the notebooks.

    Further arguments go to `jupyter lab`; root, as in a container, is allowed.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else idle threads of two kernels starve each other
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernels of this environment before the user's
    command = [sys.executable, "-m", "jupyterlab", *ctx.args]
    if os.geteuid() == 0 and not any("allow-root" in each or "allow_root" in each for each in ctx.args):
        command.append("--allow-root")  # in a container everybody is root; it listens at 127.0.0.1
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


def _show_checked(checked: "Checked") -> None:
    from workbench.report.compare import figure_rows
    from workbench.report.outcome import DRIFT
    from workbench.report.progress import say

    if checked.changed:
        columns = ("name", "a", "b", "relative", "tolerance", "verdict")
        _print_table(
            ("figure", "baseline", "now", "relative", "tolerance", "verdict"),
            [tuple(row[column] for column in columns) for row in figure_rows(checked.changed)],
        )
    where = f" ({_short(checked.see)})" if checked.see else ""
    line = f"{checked.name}: {checked.verdict}{where}"
    if checked.exit_code > DRIFT:
        print(f"error: {line}", file=sys.stderr)
    elif checked.exit_code:
        print(line, file=sys.stderr)
    else:
        say(line)


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


def _remove(found: "list[Removable]") -> None:
    from workbench.report.clean import reason
    from workbench.report.progress import say

    removed, freed, failed = 0, 0, False
    for each in found:
        try:
            each.remove()
        except (OSError, ValueError) as error:
            _note(f"{each.name} is left alone: {reason(error)}")
            failed |= not isinstance(error, BlockingIOError)
        else:
            removed, freed = removed + 1, freed + each.size
    say(f"removed {removed} of {len(found)}, freed {show_bytes(freed)}")
    raise typer.Exit(1 if failed else 0)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        _fail(2, "nothing was removed, as there is nobody to ask: --yes removes it, --dry-run lists it")
    return typer.confirm("Remove?")


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _read_params(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if values is None:  # an empty file
        return {}
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


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _browse(page: Path) -> None:
    import webbrowser

    webbrowser.open(page.as_uri())


def _short(path: Path) -> str:
    """``path`` from the working directory if it is inside it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
