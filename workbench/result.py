"""What all results share: a table, a picture, a file and a short text.

A result is a frozen dataclass whose fields are tensors, arrays, numbers, strings, other results, and
(nested) lists, tuples and dictionaries of these.
"""

import dataclasses
import html
import io
import json
import math
import os
import zipfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch

from workbench.colors import BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADER = "result.json"
_TYPES: dict[str, type["Result"]] = {}


def _type_name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


# Subclasses say ``repr=False`` too, which keeps the repr from here, and ``eq=False`` where they hold arrays:
# those do not compare to one truth value, so that ``==`` of two results would raise.
@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """Base of every result; a subclass says what its table, picture and summary are."""

    def __init_subclass__(cls) -> None:
        _TYPES[_type_name(cls)] = cls

    def frame(self) -> pd.DataFrame:
        """Tidy table, one row per observation."""
        raise NotImplementedError

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw into ``ax`` (a new figure if None) and return the axes."""
        raise NotImplementedError

    def draw(self, figure: "Figure") -> None:
        """Draw the whole picture into an empty figure; by default that of ``plot`` alone."""
        self.plot(figure.subplots())

    def summary(self) -> str:
        """One or a few lines of text: the numbers, their uncertainty and what they cost."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole result to one file that :func:`load_result` reads; returns its path.

        The file appears whole or not at all.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {}
        packed = _pack_result("", self, arrays)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_HEADER, json.dumps(packed))
            for name, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=False)
                archive.writestr(f"{name}.npy", buffer.getvalue())
        partial.replace(path)
        return path

    def replace(self, **changes: Any) -> Self:
        """Return a copy of this result with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.summary()}"

    def _repr_html_(self) -> str:
        table = self.frame()
        body = table.head(10).to_html(index=False, float_format=lambda value: f"{value:.5g}", border=0)
        more = f"<div>… {len(table)} rows in all</div>" if len(table) > 10 else ""
        title = html.escape(type(self).__name__)
        return f"<div><b>{title}</b><pre>{html.escape(self.summary())}</pre>{body}{more}</div>"


@dataclasses.dataclass(frozen=True, repr=False)
class Estimate(Result):
    """A stochastic estimate of one number.

    Attributes
    ----------
    name : str
        What was estimated.
    value, stderr : float
        The mean over the samples and its standard error (nan for one sample, 0 if exact).
    samples : tuple of float
        The samples, whose mean is the value; independent unless the method says otherwise.
    matvecs : int
        Products with the operator; each costs one pass over the data for a forward and two backwards.
    converged : bool
        Whether the tolerance asked for was reached (True if none was asked for).
    terms : str
        What the operator is made of, e.g. ``"loss"`` or ``"loss + weight decay"``.
    method : str
        How it was estimated, e.g. ``"xtrace"``; ``"exact"`` if the whole matrix was computed.
    """

    name: str
    value: float
    stderr: float
    samples: tuple[float, ...]
    matvecs: int
    converged: bool = True
    terms: str = "loss"
    method: str = ""

    def frame(self) -> pd.DataFrame:
        """One row per sample."""
        return pd.DataFrame({"sample": range(len(self.samples)), self.name: self.samples})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Running mean of the samples with its standard error."""
        ax = new_axes(ax)
        samples = np.asarray(self.samples)
        count = np.arange(1, len(samples) + 1)
        mean = np.cumsum(samples) / count
        ax.plot(count, mean, color=BLUE, label="running mean")
        if len(samples) > 1:
            ax.axhspan(
                self.value - self.stderr, self.value + self.stderr, alpha=0.2, label="± standard error"
            )
        ax.set_xlabel("samples")
        ax.set_ylabel(self.name)
        ax.set_title(self.summary(), fontsize="small")
        ax.legend()
        return ax

    def summary(self) -> str:
        """Value, standard error and cost."""
        note = "" if self.converged else ", NOT converged to the tolerance asked for"
        cost = f"{self.matvecs} products, {self.terms}{note}"
        if self.method == "exact":
            return f"{self.name} = {self.value:.6g}, exact ({cost})"
        how = f"{len(self.samples)} samples" + (f" by {self.method}" if self.method else "")
        return f"{self.name} = {self.value:.6g} ± {self.stderr:.2g} ({how}, {cost})"


def load_result(path: str | os.PathLike[str]) -> Result:
    """Read a result that :meth:`Result.save` wrote; tensors come back on the CPU.

    Raises
    ------
    ValueError
        If the file is missing, damaged, or not a result of this package.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            return _unpack_result(header, archive)
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a readable Workbench result: {error}") from error


def new_axes(ax: "Axes | None") -> "Axes":
    """``ax`` itself, or the axes of a new figure that pyplot does not keep."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, 4.0), layout="constrained").subplots()


def standard_error(samples: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the first axis; nan for one sample."""
    count = len(samples)
    if count < 2:
        return np.full(samples.shape[1:], math.nan)
    return samples.std(axis=0, ddof=1) / math.sqrt(count)


def student_interval(samples: np.ndarray) -> tuple[float, float]:
    """Return the mean of samples (n,), and half the width of its 95 % interval (Student's; nan for one)."""
    if len(samples) < 2:
        return float(samples.mean()), math.nan
    from scipy import stats  # which most results do without

    half = stats.t.ppf(0.975, len(samples) - 1) * standard_error(samples)
    return float(samples.mean()), float(half)


def clopper_pearson(hits: np.ndarray, runs: float, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Exact binomial intervals of ``hits`` out of ``runs``: at least ``level`` of them hold the truth."""
    from scipy.stats import beta

    hits = np.asarray(hits)
    tail = (1 - level) / 2
    low = np.where(hits > 0, beta.ppf(tail, hits, runs - hits + 1), 0.0)
    high = np.where(hits < runs, beta.ppf(1 - tail, hits + 1, runs - hits), 1.0)
    return low, high


def _find_type(name: str) -> type[Result]:
    if name not in _TYPES and name.startswith("workbench."):
        import_module(name.partition(":")[0])
    if name not in _TYPES:
        raise ValueError(f"unknown result type {name!r}; import the module that defines it first")
    return _TYPES[name]


def _pack_result(prefix: str, result: Result, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    fields = {
        field.name: _pack(f"{prefix}{field.name}", getattr(result, field.name), arrays)
        for field in dataclasses.fields(result)
    }
    return {"type": _type_name(type(result)), "fields": fields}


def _unpack_result(packed: dict[str, Any], archive: zipfile.ZipFile) -> Result:
    fields = {name: _unpack(value, archive) for name, value in packed["fields"].items()}
    return _find_type(packed["type"])(**fields)


def _pack(name: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        tensor = value.detach().cpu()
        arrays[name] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return {"__tensor__": name, "dtype": dtype}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"__array__": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return {"__tuple__": [_pack(f"{name}.{i}", item, arrays) for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [_pack(f"{name}.{i}", item, arrays) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {"__dict__": [[key, _pack(f"{name}.{key}", item, arrays)] for key, item in value.items()]}
    if isinstance(value, Result):
        return {"__result__": _pack_result(f"{name}.", value, arrays)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"field {name} holds a {type(value).__name__}, which a result file cannot hold")


def _unpack(value: Any, archive: zipfile.ZipFile) -> Any:
    if isinstance(value, list):
        return [_unpack(item, archive) for item in value]
    if not isinstance(value, dict):
        return value
    if "__tensor__" in value:
        array = _read_array(archive, value["__tensor__"])
        return torch.from_numpy(array).to(getattr(torch, value["dtype"]))
    if "__array__" in value:
        return _read_array(archive, value["__array__"])
    if "__result__" in value:
        return _unpack_result(value["__result__"], archive)
    if "__tuple__" in value:
        return tuple(_unpack(item, archive) for item in value["__tuple__"])
    return {key: _unpack(item, archive) for key, item in value["__dict__"]}


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    return np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
