"""``TraceFile``: a Parquet file that grows row by row, and survives a kill at any moment.

A Parquet file cannot be appended to. So new rows go to a log of text lines beside it, one line for each
step, which is in the hands of the operating system when :meth:`TraceFile.append` returns. When the log is as
long as the table, both are written as a new table, which replaces the old one in one move: all in all every
row is written a few times. The table names its log; a log that no table names is a leftover.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow
import pyarrow.parquet

from workbench.trace import Row, Trace

_KEY = b"workbench"
_LEAST = 100  # lines of a log before it is worth a new table


class TraceFile:
    """Keeps the rows of a recorder.

    Parameters
    ----------
    path : path
        Of the Parquet file; its folder must exist.
    every, gradients : dict
        As in :class:`~workbench.trace.Trace`.
    start : int, optional
        Go on with the file that is there, if any, from this step; what it has from there on is dropped.

    Attributes
    ----------
    kept : list of Row
        What the file held before ``start``.

    Raises
    ------
    ValueError
        If the file exists and no ``start`` is given, or it is no trace.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: dict[str, int],
        gradients: dict[str, float],
        start: int | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise ValueError(f"the folder {self.path.parent} for {self.path.name} does not exist")
        self.kept: list[Row] = []
        self._header: dict[str, Any] = {"log": 0, "every": every, "gradients": gradients}
        if self.path.exists():
            self._go_on(start)
        self._log: BinaryIO | None = None
        self._folded = self.kept
        self._fresh: list[Row] = []
        self._lines = 0
        self._fold()

    def append(self, rows: Sequence[Row]) -> None:
        """Keep the rows of one step; once this returns, a kill does not lose them."""
        assert self._log is not None
        self._log.write(json.dumps(rows).encode() + b"\n")
        self._fresh.extend(rows)
        self._lines += 1
        if self._lines >= max(_LEAST, len(self._folded) // len(rows)):
            self._fold()

    def close(self) -> None:
        """Leave one Parquet file with all rows, and no log."""
        if self._log is None:
            return
        self._fold()
        self._log.close()
        self._log = None
        _log_path(self.path, self._header["log"]).unlink()

    def _go_on(self, start: int | None) -> None:
        rows, header = _read(self.path)
        if start is None:
            last = f"up to step {rows[-1].step}" if rows else "of another run"
            raise ValueError(
                f"{self.path} holds rows {last}: to go on with it pass start=, the number of steps that were "
                "taken before, or choose another path"
            )
        self.kept = [row for row in rows if row.step < start]
        self._header = {
            "log": header["log"],
            "every": header["every"] | self._header["every"],
            "gradients": header["gradients"] | self._header["gradients"],
        }

    def _fold(self) -> None:
        """Write a table of all rows, which names a new log, then begin that log and remove the old one."""
        old = _log_path(self.path, self._header["log"])
        self._header["log"] += 1
        new = _log_path(self.path, self._header["log"])
        new.unlink(missing_ok=True)  # a leftover would be taken for the rows of this table
        self._folded = self._folded + self._fresh
        self._fresh, self._lines = [], 0
        _write(self.path, self._folded, self._header)
        if self._log is not None:
            self._log.close()
        self._log = new.open("ab", buffering=0)
        old.unlink(missing_ok=True)


def load_trace(path: str | os.PathLike[str]) -> Trace:
    """Read the file of a recorder: of a run that ended, that goes on or that was killed.

    Raises
    ------
    ValueError
        If there is none, or it is no trace.
    """
    while True:
        rows, header = _read(Path(path))
        if _header(Path(path))["log"] == header["log"]:  # else a running recorder replaced both meanwhile
            return Trace.from_rows(rows, header["every"], header["gradients"])


def _read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """All rows of the table and its log, and the header."""
    header = _header(path)
    frame = pyarrow.parquet.read_table(path).to_pandas()
    rows = [Row(*values) for values in frame.itertuples(index=False, name=None)]
    return rows + list(_log_rows(_log_path(path, header["log"]))), header


def _header(path: Path) -> dict[str, Any]:
    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
    except (OSError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} is not a readable trace: {error}") from error
    if _KEY not in metadata:
        raise ValueError(f"{path} is a Parquet file, but not of a recorder")
    return json.loads(metadata[_KEY])


def _log_rows(path: Path) -> Iterator[Row]:
    """Rows of the whole lines of a log; a kill may have cut the last one short."""
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield from (Row(*values) for values in json.loads(line))


def _write(path: Path, rows: Sequence[Row], header: dict[str, Any]) -> None:
    frame = pd.DataFrame(rows, columns=Row._fields)
    kinds = {"step": "int64", "value": "float64", "error": "float64", "seconds": "float64"}
    table = pyarrow.Table.from_pandas(frame.astype(kinds), preserve_index=False)
    for text in ("quantity", "part"):  # of no rows pandas does not know that they are text
        place = table.schema.get_field_index(text)
        table = table.set_column(place, text, table[text].cast(pyarrow.string()))
    metadata = {**(table.schema.metadata or {}), _KEY: json.dumps(header).encode()}
    partial = path.with_name(f".{path.name}.part")
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), partial)
    partial.replace(path)


def _log_path(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}.log")
