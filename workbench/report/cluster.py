"""Tasks on Dask: a cluster in this process, or a running scheduler wherever it is."""

import asyncio
import contextlib
import logging
import os
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.report.forking import Zygote
from workbench.report.task import Point, lent, run_point, tell

if TYPE_CHECKING:
    from distributed import Client, Future

_TICK = 0.2
_LOOPBACK = "127.0.0.1:0"  # any free port
_PATIENCE = 10  # seconds in which a scheduler must answer


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int | None, threads: int) -> "Iterator[Client]":
    """Connect to a scheduler by its address, or to one made here, which listens at 127.0.0.1 only.

    The cluster made here is threads of this process: a task does nothing but wait for its run, a process.

    Raises
    ------
    ValueError
        If Dask is not installed, or nothing answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError("sweeps need Dask's distributed: pip install 'training-workbench[sweep]'") from error
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        with client:
            yield client
        return
    count = workers or max(1, (os.cpu_count() or 1) // threads)
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=count,
            processes=False,
            # Each starts a server for its state, on all interfaces unless it is told where.
            worker_dashboard_address=_LOOPBACK,
            scheduler_kwargs={"dashboard": False, "dashboard_address": _LOOPBACK},
            memory_limit=0,  # it would count this process, not the runs
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def run_points(
    client: "Client",
    points: Sequence[Point],
    signals: list[int],
    on_change: Callable[[set[str], dict[str, dict[str, Any]]], None],
    zygote: Zygote | None = None,
) -> dict[str, dict[str, Any]]:
    """Run every point, until all have ended or ``signals`` is no longer empty; then end those that run.

    Parameters
    ----------
    client : Client
    points : sequence of Point
    signals : list of int
        Signals to stop for, which arrive here from outside.
    on_change : callable
        Takes the names of the folders whose run began, and what those that ended wrote in ``run.json``.
    zygote : Zygote, optional
        What to fork the runs from; the workers must then be threads of this process.

    Returns
    -------
    dict
        The content of ``run.json``, or what stands for it if the run was lost, by the folder's name.
    """
    sweep = f"sweep-{uuid.uuid4().hex}"  # tasks of another client are others, even in the same folders
    begun: set[str] = set()
    ended: dict[str, dict[str, Any]] = {}
    done: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
    client.subscribe_topic(sweep, lambda event: begun.add(event[1]))
    with lent(sweep, zygote):
        futures = []
        for place, point in enumerate(points):
            name = point.folder.name
            future = client.submit(run_point, sweep, point, key=f"{sweep}-{name}", priority=-place)
            future.add_done_callback(lambda future, name=name: done.put((name, future)))
            futures.append(future)
        while len(ended) < len(points) and not signals:
            with contextlib.suppress(queue.Empty):
                name, future = done.get(timeout=_TICK)
                ended[name] = _result(future)
            on_change(begun, ended)
        if signals:
            client.cancel(futures)
            _end(client, sweep, signals)
    client.unsubscribe_topic(sweep)
    return ended


def _result(future: "Future[Any]") -> dict[str, Any]:
    """Return what a task returned, or why it is lost; Dask repeats one whose result went with its worker."""
    try:
        return future.result()
    except (Exception, asyncio.CancelledError) as error:  # whatever it is: the others go on
        return {"status": "lost", "error": " ".join(f"{type(error).__name__}: {error}".split())}


def _end(client: "Client", sweep: str, signals: list[int]) -> None:
    """Pass on every signal, also those that still arrive, until no task of the sweep is left."""
    told = 0
    with contextlib.suppress(OSError):  # the scheduler is gone, and out of reach what it started
        while True:
            new, told = signals[told:], len(signals)
            left = client.run(tell, sweep, new, on_error="ignore")
            if not any(left.values()):
                return
            time.sleep(_TICK)
