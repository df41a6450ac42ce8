"""``zeros``: the complex zeros themselves that limit the Taylor series along a line of logits."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.colors import VERMILION
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.partition import Partition, make_partition
from workbench.stability.winding import winding_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPACING = 0.5  # of the points that Newton's method starts between, in s; zeros lie about 2 pi apart
_STEPS = 30
_POINTS = 4097  # on the half circle of the certificate
_WIDENINGS = 6


@dataclasses.dataclass(frozen=True, repr=False)
class Ghosts(Result):
    """The zeros of the partition functions of some samples that are nearest to 0.

    Attributes
    ----------
    zeros : Tensor (samples, count), complex
        In the upper half plane, the nearest first; their conjugates are zeros, too. nan where there is none.
    certified : Tensor (samples,) of bool
        Whether a winding number says that there are no others within the farthest of these.
    margin : Tensor (samples,)
        Logit of the likeliest class less that of the second; inf if there is one class alone.
    step : float, optional
        A distance to compare with.
    rows : Tensor (samples,) of int, optional
        Places of the samples among those that they were chosen from.
    """

    zeros: Tensor
    certified: Tensor
    margin: Tensor
    step: float | None = None
    rows: Tensor | None = None

    def frame(self) -> pd.DataFrame:
        """One row per zero."""
        samples, count = self.zeros.shape
        zeros = self.zeros.cpu().numpy().ravel()
        rows = np.arange(samples) if self.rows is None else self.rows.cpu().numpy()
        return pd.DataFrame(
            {
                "sample": np.repeat(rows, count),
                "rank": np.tile(np.arange(1, count + 1), samples),
                "real": zeros.real,
                "imaginary": zeros.imag,
                "distance": np.abs(zeros),
                "margin": np.repeat(self.margin.cpu().numpy(), count),
                "certified": np.repeat(self.certified.cpu().numpy(), count),
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Zeros in the complex plane, coloured by the margin of their sample, with the disk of the step."""
        ax = new_axes(ax)
        table = self.frame().dropna()
        both = pd.concat([table, table.assign(imaginary=-table["imaginary"])])
        dots = ax.scatter(both["real"], both["imaginary"], c=both["margin"], s=12, cmap="cividis")
        ax.figure.colorbar(dots, ax=ax, label="margin of the likeliest class")
        if self.step is not None:
            angle = np.linspace(0, 2 * np.pi, 200)
            ax.plot(self.step * np.cos(angle), self.step * np.sin(angle), color=VERMILION,
                    label=f"|t| = {self.step:.3g}")  # fmt: skip
            ax.legend(fontsize="small")
        ax.plot(0, 0, "+", color="black")
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_xlabel("Re t (distance along the line)")
        ax.set_ylabel("Im t")
        ax.set_title(self.summary(), fontsize="small")
        return ax

    def summary(self) -> str:
        """How many zeros, how far the nearest is, and what is certified."""
        distances = self.zeros.abs()
        known = distances[~distances.isnan()]
        nearest = f", the nearest at {float(known.min()):.4g}" if len(known) else ""
        failed = int((~self.certified).sum())
        note = f"; {failed} samples NOT certified" if failed else ""
        return f"{len(known)} zeros of {len(self.zeros)} samples{nearest}{note}"


def zeros(logits: Tensor, slopes: Tensor, count: int = 8, *, step: float | None = None) -> Ghosts:
    r"""Find the complex zeros nearest to 0 of :math:`F(t) = \sum_k e^{z_k + t a_k}`, of each sample.

    Newton's method starts from every point of a grid over the upper half plane at which
    :math:`|F / F'|` is smaller than at its neighbours; the winding number of F, from its sum, on a circle
    around what was found counts whether all were.

    Parameters
    ----------
    logits, slopes : Tensor (samples, classes)
        As in :func:`logit_radius`, which says what is refused.
    count : int
        How many zeros of each sample, in the upper half plane.
    step : float, optional
        Kept for the picture, as the radius of a disk.

    Returns
    -------
    Ghosts

    Notes
    -----
    Cost per sample on one core, for 4 zeros: 5 to 20 ms at 10 classes, 0.04 to 0.2 s at 100, 0.6 to 4.5 s at
    1000. More for confident samples, whose zeros lie farther out: 0.14 s at 10 classes and a margin of 100.
    For the nearest zero of many samples there is :func:`logit_radius`.
    """
    check_count("count", count)
    partition = make_partition(logits, slopes)
    found, certified = [], []
    with progress("zeros", len(partition)) as advance:
        for row in range(len(partition)):
            nearest, all_found = _nearest(partition[row : row + 1], count)
            found.append(nearest)
            certified.append(all_found)
            advance(1)
    spread = torch.where(partition.spread > 0, partition.spread, 1.0)[:, None]
    return Ghosts(
        zeros=torch.stack(found) / spread,
        certified=torch.tensor(certified, dtype=torch.bool, device=spread.device),
        margin=_margin(partition),
        step=step,
    )


def _nearest(partition: Partition, count: int) -> tuple[Tensor, bool]:
    """The nearest zeros (count,) in s of one sample, and whether these are all so near."""
    blank = torch.full((count,), torch.nan, dtype=torch.complex128, device=partition.spread.device)
    if not bool(partition.spread[0] > 0):
        return blank, True
    # Zeros have a density of at most 1 / (2 pi) along a ray; confident samples have theirs farther out.
    reach = 2 * math.pi * (count + 1)
    for _ in range(_WIDENINGS):
        candidates = _polish(partition, _starts(partition, reach))
        if int((candidates.abs() < reach).sum()) > count:
            # A circle halfway to the next zero does not run through one.
            radius = float(candidates[count - 1 : count + 1].abs().mean())
            return candidates[:count], _count_within(partition, radius) == count
        reach *= 1.6
    blank[: min(count, len(candidates))] = candidates[:count]
    return blank, False


def _starts(partition: Partition, reach: float) -> Tensor:
    """Points of a grid at which F / F' is smaller than at their neighbours."""
    x = torch.arange(-reach, reach, _SPACING, dtype=torch.float64, device=partition.spread.device)
    y = torch.arange(_SPACING, reach, _SPACING, dtype=torch.float64, device=partition.spread.device)
    grid = torch.complex(*torch.meshgrid(x, y, indexing="ij"))
    size = torch.cat([_newton_step(partition, line).abs() for line in grid.split(16)])
    low = -torch.nn.functional.max_pool2d(-size[None, None], 3, stride=1, padding=1)[0, 0]
    return grid[size <= low]


def _newton_step(partition: Partition, s: Tensor) -> Tensor:
    value, derivative = partition.values(s.reshape(1, -1))
    return (value / derivative).reshape(s.shape)


def _polish(partition: Partition, s: Tensor) -> Tensor:
    """Zeros that Newton's method finds, each once, the nearest first."""
    for _ in range(_STEPS):
        step = _newton_step(partition, s)
        s = s - torch.where(step.abs() < 1, step, step / step.abs())
    s = torch.complex(s.real, s.imag.abs())
    s = s[_newton_step(partition, s).abs() < 1e-9 * (1 + s.abs())]
    s = s[s.abs().argsort()]
    apart = (s[:, None] - s).abs() > 1e-6 * (1 + s.abs())
    first = (apart | torch.ones_like(apart).triu()).all(1)  # of all before it, none is the same
    return s[first]


def _count_within(partition: Partition, radius: float) -> int | None:
    """Zeros in the upper half of the disk; None if that is in doubt."""
    angles = torch.linspace(0, math.pi, _POINTS, dtype=torch.float64, device=partition.spread.device)
    values, _ = partition.values(torch.polar(torch.full_like(angles, radius), angles)[None])
    counts, clear = winding_numbers(values)
    return int(counts) if bool(clear) else None


def _margin(partition: Partition) -> Tensor:
    if partition.log_weights.shape[1] == 1:
        return torch.full_like(partition.spread, torch.inf)
    return -partition.log_weights.topk(2, dim=1).values[:, 1]
