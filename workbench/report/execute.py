"""The child process of a run: ``python -m workbench.report.execute RUN_FOLDER SOCKET_FOLDER``.

It executes the folder's notebook with papermill and a fresh kernel, tells its standard output one JSON
object per step, and closes the folder. Everything else that is printed goes to standard error.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import workbench.report.no_iri_checks  # noqa: F401  # before anything that imports jsonschema
from workbench.report.cells import CellWatch, Event
from workbench.report.outcome import Outcome, cell_limit, kernel_died, stopped
from workbench.report.prepare import Request, read_request
from workbench.report.processes import kill_run
from workbench.report.signals import Stopped, ignore_stops, raise_when_stopped

if TYPE_CHECKING:
    from workbench.report.kernel import InterpreterKernelManager

_LATER = 60.0  # seconds after the time limit at which the child stops itself: its launcher is gone


def main(folder: Path, sockets: Path, kernel_manager: "type[InterpreterKernelManager] | None" = None) -> None:
    """Run and close the folder; remove the one of the kernel's sockets, which has a short path."""
    started = time.time()
    emit = _emitter()
    request = read_request(folder)
    watch = CellWatch(folder, emit)
    try:
        raise_when_stopped()
        signal.setitimer(signal.ITIMER_REAL, request.timeout + _LATER)
        outcome = _execute(request, watch, sockets, kernel_manager)
    except Stopped as stop:
        outcome = stopped(stop.signum, watch.current, request.timeout)
    ignore_stops()
    kill_run(folder)  # data workers that outlived the kernel
    shutil.rmtree(sockets, ignore_errors=True)
    if outcome.status not in ("ok", "failed"):
        watch.mark(outcome.status, outcome.error or "")
    from workbench.report.finish import finish  # the page's imports; not before the signals are in hand

    finish(folder, request, outcome, watch.notebook, watch.events, started)


def _emitter() -> Callable[[Event], None]:
    """Keep the standard output for events, and let everything else that prints go to standard error."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def emit(event: Event) -> None:
        # When the launcher is gone, the run goes on for whoever looks into its folder.
        with contextlib.suppress(BrokenPipeError):
            channel.write(json.dumps(event) + "\n")

    return emit


def _execute(
    request: Request, watch: CellWatch, sockets: Path, kernel_manager: "type[InterpreterKernelManager] | None"
) -> Outcome:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.execute import remove_error_markers

    # It cannot read typed parameters and takes each for unknown; they were validated before.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    papermill.engines.papermill_engines.register("workbench", _engine(watch, kernel_manager))
    try:
        papermill.execute_notebook(
            watch.notebook,
            None,  # CellWatch saves, whole or not at all
            parameters=request.changed,
            engine_name="workbench",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=120,
            execution_timeout=request.cell_timeout,
            sockets=sockets,
        )
    except papermill.PapermillExecutionError:
        pass  # the watch knows more
    except CellTimeoutError:
        return cell_limit(watch.current, request.cell_timeout)
    except DeadKernelError:
        return kernel_died(watch.current)
    except RuntimeError:
        if watch.current is not None:
            raise
        return kernel_died(None)
    finally:
        remove_error_markers(watch.notebook)
    return watch.verdict()


def _engine(watch: CellWatch, kernel_manager: "type[InterpreterKernelManager] | None") -> Any:
    from papermill.engines import NBClientEngine

    from workbench.report.kernel import InterpreterKernelManager, private_sockets

    class Engine(NBClientEngine):
        """papermill's own engine with our kernel and a watch on its cells."""

        @classmethod
        def execute_managed_notebook(
            cls, nb_man: Any, kernel_name: str, *, sockets: Path, **options: Any
        ) -> None:
            nb_man.nb.metadata.papermill.input_path = None  # the whole notebook, as it was not given by path
            watch.notebook = nb_man.nb
            super().execute_managed_notebook(
                nb_man,
                kernel_name,
                kernel_manager_class=kernel_manager or InterpreterKernelManager,
                config=private_sockets(sockets),
                shutdown_kernel="immediate",
                iopub_timeout=60,  # the default of 4 s is short for a large output on a busy machine
                on_cell_execute=watch.on_start,
                on_cell_executed=watch.on_reply,
                **options,
            )

    return Engine


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
