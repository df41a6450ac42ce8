"""``gain_errors``: what is left of a DoRA layer's gain near 1 when activations are coarse."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.kernels import dora_compose
from workbench.progress import progress
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PATHS = ("naive", "published", "float32 gain", "whole output")
PATH_COLORS = dict(zip(PATHS, (ORANGE, VERMILION, GREEN, BLUE), strict=True))
MEASURES = ("change", "output", "gain")
DTYPES = ("bfloat16", "float16", "float32")
DISTANCES = tuple(float(distance) for distance in np.geomspace(1e-4, 1, 25))
MEASURED_SPREAD = 0.0015  # of g in a trained model, by arXiv 2603.22276, section 3.1
_WORDS = {
    "change": "error of the change y - b",
    "output": "error of the output y",
    "gain": "error of g - 1 as found in y",
}


@dataclasses.dataclass(frozen=True, repr=False)
class GainErrors(Result):
    """Errors of y = g (b + l) against float64 over the distance of g from 1.

    Attributes
    ----------
    distances : ndarray (n,)
        Standard deviation of g - 1.
    errors : ndarray (measures, paths, n, draws)
        Relative to the norm of what is measured: of the change y - b as a path computes it (nan for the path
        that does not), of the output, and of g - 1 as a fit column by column finds it in the output.
    rounded : ndarray (n, draws)
        Share of the gains that are 1 after they are rounded to ``dtype``.
    dtype : str
        Of b, l and y.
    ratio : float
        Size of b over that of l.
    rows, columns, seed : int
        Of the activations, and of the draws.
    interrupted : bool
        Whether there are fewer distances than were asked for.
    """

    distances: np.ndarray
    errors: np.ndarray
    rounded: np.ndarray
    dtype: str
    ratio: float
    rows: int
    columns: int
    seed: int
    interrupted: bool = False

    @property
    def draws(self) -> int:
        """Number of draws of activations and gains."""
        return self.errors.shape[-1]

    @property
    def zone(self) -> float:
        """Distance within which a gain above 1 is rounded to 1: half the spacing of numbers there."""
        return torch.finfo(getattr(torch, self.dtype)).eps / 2

    def curve(self, path: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the draws (n,) of an error, and its standard error."""
        check_choice("path", path, PATHS)
        check_choice("measure", measure, MEASURES)
        values = self.errors[MEASURES.index(measure), PATHS.index(path)]
        return values.mean(-1), standard_error(values.T)

    def frame(self) -> pd.DataFrame:
        """One row per path and distance: means over the draws with their standard errors."""
        parts = []
        for path in PATHS:
            columns: dict[str, object] = {"path": path, "distance": self.distances}
            for measure in MEASURES:
                columns[measure], columns[f"{measure}_stderr"] = self.curve(path, measure)
            parts.append(pd.DataFrame(columns | {"rounded_to_1": self.rounded.mean(-1)}))
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: "Axes | None" = None, measure: str = "change") -> "Axes":
        """An error against the distance of g from 1, with a band of two standard errors."""
        ax = new_axes(ax)
        for path in PATHS:
            mean, error = self.curve(path, measure)
            if np.isnan(mean).all():
                continue
            ax.plot(self.distances, mean, color=PATH_COLORS[path], label=path)
            low, high = np.maximum(mean - 2 * error, mean / 10), mean + 2 * error
            ax.fill_between(self.distances, low, high, color=PATH_COLORS[path], alpha=0.2, linewidth=0)
        ax.axvline(self.zone, color="0.5", linestyle=":", label=f"rounded to 1 in {self.dtype}")
        ax.axvline(MEASURED_SPREAD, color="0.5", linestyle="--", label="spread in a trained model")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("distance of g from 1")
        ax.set_ylabel(_WORDS[measure])
        ax.set_title(f"{self.dtype}, b {self.ratio:g} times l, {self.draws} draws", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Largest error of each path over the distances, by measure."""
        lines = []
        for measure in MEASURES:
            words = []
            for path in PATHS:
                mean, error = self.curve(path, measure)
                if not np.isnan(mean).all():
                    worst = int(np.argmax(mean))
                    words.append(
                        f"{path} {mean[worst]:.3g} ± {error[worst]:.1g} at {self.distances[worst]:.2g}"
                    )
            lines.append(f"{_WORDS[measure]}, largest: {'; '.join(words)}")
        note = ", INTERRUPTED before the other distances" if self.interrupted else ""
        lines.append(
            f"{self.dtype}, {self.rows} × {self.columns}, b {self.ratio:g} times l, {self.draws} draws{note}"
        )
        return "\n".join(lines)


def gain_errors(
    distances: Sequence[float] = DISTANCES,
    *,
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
    ratio: float = 400.0,
    rows: int = 256,
    columns: int = 256,
    draws: int = 5,
    seed: int = 0,
) -> GainErrors:
    r"""Errors of the last step of a DoRA layer, :math:`y = g \odot (b + l)`, for gains about 1.

    b is the frozen layer's output, l that of the update, scaled; both in ``dtype``, as y is. g is 1 plus
    normal numbers times the distance, in float32. The paths:

    - ``naive``: :math:`g (b + l) - b` in ``dtype``, added to b.
    - ``published``: :math:`(g - 1) b + g l`, added to b, with g rounded to ``dtype``, as the kernels released
      with arXiv 2603.22276 get it, and all else in float32.
    - ``float32 gain``: the same with g as it is, which is that paper's form in exact gains.
    - ``whole output``: :func:`workbench.kernels.dora_compose`, which writes y at once.

    Parameters
    ----------
    distances : sequence of float
        Of g from 1, at least 1e-6.
    dtype : {"bfloat16", "float16", "float32"}
        Of the activations.
    ratio : float
        Size of b over that of l, positive.
    rows, columns : int
        Of the activations; more rows average more roundings in the fit of the gain.
    draws : int
        Of activations and gains.
    seed : int
        Of the draws.

    Returns
    -------
    GainErrors
        An interrupt (Ctrl-C) returns the distances that were done.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, there is no distance, or the dtype is another.

    Notes
    -----
    Cost: some fifty passes over ``rows * columns`` numbers for each distance and draw. The error of ``naive``
    near 1 is the rounding of b over the change; the paths in float32 round the change once. Both are derived
    here; errors are measured.
    """
    if not len(distances):
        raise ValueError("distances is empty: pass at least one")
    for distance in distances:
        check_number("distances", distance, low=1e-6, below=np.inf)  # nearer, float32 has few gains
    check_choice("dtype", dtype, DTYPES)
    check_number("ratio", ratio, above=0, below=np.inf)
    for name, count in (("rows", rows), ("columns", columns), ("draws", draws)):
        check_count(name, count)
    check_count("seed", seed, low=0)
    kind = getattr(torch, dtype)
    random = torch.Generator().manual_seed(seed)
    base = torch.randn(draws, rows, columns, generator=random).to(kind)
    lora = (torch.randn(draws, rows, columns, generator=random) / ratio).to(kind)
    normal = torch.randn(draws, columns, generator=random)
    found: list[np.ndarray] = []
    rounded: list[list[float]] = []
    interrupted = False
    try:
        with progress("errors of the gain", len(distances)) as advance:
            for distance in distances:
                gains = 1 + distance * normal
                each = [_errors(*given) for given in zip(base, lora, gains, strict=True)]
                found.append(np.stack(each, axis=-1))
                rounded.append([(gain.to(kind) == 1).double().mean().item() for gain in gains])
                advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return GainErrors(
        distances=np.array(distances[: len(found)], dtype=float),
        errors=np.stack(found, axis=2),
        rounded=np.array(rounded[: len(found)]),
        dtype=dtype,
        ratio=float(ratio),
        rows=rows,
        columns=columns,
        seed=seed,
        interrupted=interrupted,
    )


def _errors(base: Tensor, lora: Tensor, gain: Tensor) -> np.ndarray:
    """Errors (measures, paths) of one draw."""
    b, g = base.double(), gain.double()
    inner = b + lora.double()
    truth = g * inner
    coarse = gain.to(base.dtype)
    changes = [coarse * (base + lora) - base, _stable(base, lora, coarse), _stable(base, lora, gain), None]
    result = np.empty((len(MEASURES), len(PATHS)))
    for place, change in enumerate(changes):
        output = dora_compose(base, lora, gain) if change is None else base + change
        slope = (output.double() * inner).sum(0) / inner.square().sum(0)
        result[:, place] = (
            np.nan if change is None else _distance(change.double(), truth - b),
            _distance(output.double(), truth),
            ((slope - g).norm() / (g - 1).norm()).item(),
        )
    return result


def _stable(base: Tensor, lora: Tensor, gain: Tensor) -> Tensor:
    """(g - 1) b + g l, computed in float32 and rounded once."""
    g = gain.float()
    return ((g - 1) * base.float() + g * lora.float()).to(base.dtype)


def _distance(found: Tensor, truth: Tensor) -> float:
    return ((found - truth).norm() / truth.norm()).item()
