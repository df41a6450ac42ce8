"""``norm_costs``: what the norm of a DoRA layer costs, factored and with the product BA formed."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.adaptation.peak_memory import peak_bytes
from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, ORANGE, SKY, VERMILION
from workbench.kernels import dora_norm
from workbench.kernels.dora_norms import squared_norms
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("identity", "dense", "factored", "cached")
NORM_COLORS = dict(zip(KINDS, (VERMILION, ORANGE, SKY, BLUE), strict=True))
DTYPES = ("float32", "bfloat16")
MEASURES = ("seconds", "bytes")
AXES = ("width", "rank")
_SCALE = 2.0


@dataclasses.dataclass(frozen=True, repr=False)
class NormCosts(Result):
    """Time and memory of the norm of the rows of W + sBA.

    Attributes
    ----------
    kinds : tuple of str
        ``"identity"``: BA as the layer's output for an identity matrix, which is how PEFT computes it.
        ``"dense"``: the product BA. ``"factored"``: neither, by :func:`workbench.kernels.dora_norm`.
        ``"cached"``: the same with the norms of W known, as they are while it is frozen.
    widths, ranks : ndarray of int
        W is width × width.
    seconds : ndarray (kinds, widths, ranks, rounds)
        Of one norm; the kinds take turns in a round.
    bytes : ndarray (kinds, widths, ranks) of int
        Held at the peak beyond W, A and B, the result included.
    error : ndarray (kinds, widths, ranks)
        Largest relative difference to float64, over the rows.
    dtype : str
        Of W, A and B.
    threads : int
        That PyTorch used.
    interrupted : bool
        Whether there are fewer widths than were asked for.
    """

    kinds: tuple[str, ...]
    widths: np.ndarray
    ranks: np.ndarray
    seconds: np.ndarray
    bytes: np.ndarray
    error: np.ndarray
    dtype: str
    threads: int
    interrupted: bool = False

    @property
    def rounds(self) -> int:
        """Number of times that each norm was timed."""
        return self.seconds.shape[-1]

    def faster(self, kind: str, than: str = "dense") -> np.ndarray:
        """How many times faster a kind is than another, round by round: (3, widths, ranks).

        Lower quartile, median and upper quartile over the rounds.
        """
        ratios = self.seconds[self._place(than)] / self.seconds[self._place(kind)]
        return np.quantile(ratios, (0.25, 0.5, 0.75), axis=-1)

    def smaller(self, kind: str, than: str = "dense") -> np.ndarray:
        """How many times less memory a kind takes than another: (widths, ranks)."""
        return self.bytes[self._place(than)] / self.bytes[self._place(kind)]

    def frame(self) -> pd.DataFrame:
        """One row per kind, width and rank: quartiles of the seconds, peak bytes, error."""
        low, median, high = np.quantile(self.seconds, (0.25, 0.5, 0.75), axis=-1)
        rows = []
        for place in np.ndindex(*self.bytes.shape):
            kind, width, rank = place
            row = {"kind": self.kinds[kind], "width": self.widths[width], "rank": self.ranks[rank]}
            row |= {"seconds": median[place], "seconds_low": low[place], "seconds_high": high[place]}
            rows.append(row | {"bytes": self.bytes[place], "error": self.error[place]})
        return pd.DataFrame(rows)

    def curve(self, kind: str, of: str, against: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lower quartile, median and upper quartile of a measure against the width or the rank.

        The other one is the largest. Bytes do not vary: all three are the same.
        """
        check_choice("of", of, MEASURES)
        check_choice("against", against, AXES)
        line = (slice(None), -1) if against == "width" else (-1, slice(None))
        values = getattr(self, of)[self._place(kind)][line]
        if of == "bytes":
            return values, values, values
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=-1)
        return low, median, high

    def plot(self, ax: "Axes | None" = None, of: str = "seconds", against: str = "width") -> "Axes":
        """Time or memory against the width or the rank, the other one at its largest; bars are quartiles."""
        ax = new_axes(ax)
        for kind in self.kinds:
            low, median, high = self.curve(kind, of, against)
            x = self.widths if against == "width" else self.ranks
            bars = (median - low, high - median)
            ax.errorbar(x, median, bars, fmt="o-", color=NORM_COLORS[kind], capsize=3, label=kind)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel(f"{against} of the layer" if against == "width" else "rank of the update")
        ax.set_ylabel("seconds for a norm" if of == "seconds" else "bytes at the peak")
        other = f"rank {self.ranks[-1]}" if against == "width" else f"width {self.widths[-1]}"
        ax.set_title(f"{other}, {self.dtype}, {self._effort()}", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """At the largest width, for each rank: time, memory and error of each kind beside the dense one."""
        lines = []
        table = self.frame()
        for rank in self.ranks:
            lines.append(f"width {self.widths[-1]}, rank {rank}:")
            rows = table[(table["width"] == self.widths[-1]) & (table["rank"] == rank)]
            for row in rows.to_dict("records"):
                low, median, high = (1e3 * row[f"seconds{end}"] for end in ("_low", "", "_high"))
                lines.append(
                    f"  {row['kind']}: {median:.3g} ms ({low:.3g} to {high:.3g}), "
                    f"{row['bytes'] / 2**20:.3g} MiB, error {row['error']:.1g}"
                )
        note = ", INTERRUPTED before the other widths" if self.interrupted else ""
        lines.append(f"{self.dtype}, medians and quartiles of {self._effort()}{note}")
        return "\n".join(lines)

    def _effort(self) -> str:
        return f"{self.rounds} rounds, {self.threads} thread{'s' * (self.threads > 1)}"

    def _place(self, kind: str) -> int:
        check_choice("kind", kind, self.kinds)
        return self.kinds.index(kind)


def norm_costs(
    widths: Sequence[int] = (256, 512, 1024, 2048),
    ranks: Sequence[int] = (8, 64, 256),
    *,
    rounds: int = 7,
    weight_dtype: Literal["float32", "bfloat16"] = "float32",
    seed: int = 0,
) -> NormCosts:
    r"""Time the norm of a DoRA layer's rows on the CPU, and count the bytes that it holds, by four ways.

    The factored norm (arXiv 2603.22276, section 2) expands :math:`\|W + sBA\|^2` by row into products with A
    and B. It saves the memory of BA, and passes over it; the products are as many as those of BA.

    Parameters
    ----------
    widths, ranks : sequence of int
        Of square layers, and of their updates; all pairs are measured.
    rounds : int
        Times that each is timed, in turn; one more, the first, does not count.
    weight_dtype : {"float32", "bfloat16"}
        Of W, A and B. The factored norm is float32 all the same.
    seed : int
        Of the entries.

    Returns
    -------
    NormCosts
        An interrupt (Ctrl-C) returns the widths that were done.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, there is no width or no rank, or the dtype is another.

    Notes
    -----
    Cost: ``4 * (rounds + 3)`` norms of each width and rank, with 2 · width² · rank operations or up to twice
    as many. A CPU without instructions for bfloat16 multiplies such matrices a hundred times as slowly.
    """
    for name, counts in (("widths", widths), ("ranks", ranks)):
        if not len(counts):
            raise ValueError(f"{name} is empty: pass at least one")
        for count in counts:
            check_count(name, count)
    check_count("rounds", rounds)
    check_choice("weight_dtype", weight_dtype, DTYPES)
    check_count("seed", seed, low=0)
    measured: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = []
    interrupted = False
    try:
        with progress("cost of the norm", len(widths) * len(ranks)) as advance:
            for width in widths:
                row = []
                for rank in ranks:
                    row.append(_measure(width, rank, rounds, getattr(torch, weight_dtype), seed))
                    advance(1)
                measured.append(row)
    except KeyboardInterrupt:
        if not measured:
            raise
        interrupted = True
    seconds, held, error = (
        np.moveaxis(np.array([[point[i] for point in row] for row in measured]), 2, 0) for i in range(3)
    )
    return NormCosts(
        kinds=KINDS,
        widths=np.array(widths[: len(measured)]),
        ranks=np.array(ranks),
        seconds=seconds,
        bytes=held,
        error=error,
        dtype=weight_dtype,
        threads=torch.get_num_threads(),
        interrupted=interrupted,
    )


@torch.no_grad()
def _measure(
    width: int, rank: int, rounds: int, dtype: torch.dtype, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds (kinds, rounds), peak bytes (kinds,) and error (kinds,)."""
    random = torch.Generator().manual_seed(seed)
    sizes = ((width, width), (rank, width), (width, rank))
    w, a, b = (torch.randn(size, generator=random) / size[1] ** 0.5 for size in sizes)
    w, a, b = w.to(dtype), a.to(dtype), b.to(dtype)
    works = _works(w, a, b)
    exact = torch.linalg.norm(w.double() + _SCALE * (b.double() @ a.double()), dim=1)
    error = [((work() - exact).abs() / exact).max().item() for work in works]
    held = [peak_bytes(work) for work in works]
    seconds = np.empty((len(works), rounds + 1))
    for turn in range(rounds + 1):
        for place, work in enumerate(works):
            started = time.perf_counter()
            work()
            seconds[place, turn] = time.perf_counter() - started
    return seconds[:, 1:], np.array(held), np.array(error)


def _works(w: Tensor, a: Tensor, b: Tensor) -> list[Callable[[], Tensor]]:
    """The norm by each kind."""
    squared = squared_norms(w)

    def identity() -> Tensor:
        unit = torch.eye(w.shape[1], dtype=w.dtype)  # held to the end, as in PEFT's forward
        update = ((unit @ a.T) @ b.T).T
        return torch.linalg.norm(w + _SCALE * update, dim=1)

    return [
        identity,
        lambda: torch.linalg.norm(w + _SCALE * (b @ a), dim=1),
        lambda: dora_norm(w, a, b, _SCALE),
        lambda: dora_norm(w, a, b, _SCALE, squared),
    ]
