"""``logit_radius``: the distance along a line of logits within which the loss is its Taylor series."""

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice
from workbench.colors import BLUE, VERMILION
from workbench.result import Result, new_axes
from workbench.stability.majority import majority_distance
from workbench.stability.nearest_zero import nearest_zero
from workbench.stability.partition import Partition, make_partition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("spread", "majority", "exact")
_AT_ONCE = 32  # samples of a batch that are solved together
_ROUNDED_DOWN = 1 - 4 * torch.finfo(torch.float64).eps


@dataclasses.dataclass(frozen=True, repr=False)
class LogitRadius(Result):
    """The radius of each sample.

    Attributes
    ----------
    radius : Tensor (samples,)
        Distance, float64 and on the logits' device; inf where all slopes are equal.
    certified : Tensor (samples,) of bool
        For the bounds, True: no zero is nearer. For ``kind="exact"``, whether this is the distance of the
        nearest zero; where it is not certified to be, the radius is the majority bound, which holds all the
        same.
    spread : Tensor (samples,)
        Largest less smallest slope of the classes that have weight.
    kind : str
        ``"spread"``, ``"majority"`` or ``"exact"``.
    """

    radius: Tensor
    certified: Tensor
    spread: Tensor
    kind: str

    @property
    def minimum(self) -> float:
        """Radius of the mean loss of these samples: the least of theirs."""
        return float(self.radius.min())

    def frame(self) -> pd.DataFrame:
        """One row per sample."""
        columns = {"radius": self.radius, "certified": self.certified, "spread": self.spread}
        table = pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})
        return table.rename_axis("sample").reset_index()

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Share of the samples whose radius is smaller."""
        ax = new_axes(ax)
        radius = np.sort(self.radius.cpu().numpy())
        radius = radius[np.isfinite(radius)]
        if len(radius):
            ax.step(radius, np.arange(1, len(radius) + 1) / len(self.radius), color=BLUE, where="post")
            ax.axvline(radius[0], color=VERMILION, linestyle="--", label=f"smallest, {radius[0]:.3g}")
            ax.set_xscale("log")
            ax.legend(fontsize="small")
        ax.set_xlabel("radius (distance along the line)")
        ax.set_ylabel("share of samples below")
        ax.set_title(self.summary(), fontsize="small")
        return ax

    def summary(self) -> str:
        """Smallest and median radius, and what is certified."""
        median = float(self.radius.median())
        count = len(self.radius)
        return f"{self.kind} radius {self.minimum:.4g}, median {median:.4g} of {count} samples{self._note()}"

    def _note(self) -> str:
        failed = int((~self.certified).sum())
        if not failed:
            return ""
        return f"; {failed} NOT certified as exact: their radius is the majority bound"


def logit_radius(logits: Tensor, slopes: Tensor, kind: str = "majority") -> LogitRadius:
    r"""Distance of the nearest complex zero of the partition function of each sample, or a bound below it.

    Along a line on which the logits are :math:`z + t a`, the cross entropy is
    :math:`\log F(t) - z_y - t a_y` with :math:`F(t) = \sum_k e^{z_k + t a_k}`, for any target y. The nearest
    complex zero of F is where the logarithm branches: within that distance the loss is the sum of its Taylor
    series at t = 0, beyond it the series diverges.

    Parameters
    ----------
    logits, slopes : Tensor (samples, classes)
        z and a. A class whose logit is -inf is masked: it has no weight, and its slope does not count. For a
        binary model with one output, the two classes have logits 0 and z, and slopes 0 and a.
    kind : {"spread", "majority", "exact"}
        With :math:`\Delta = \max a - \min a`: ``"spread"``, the bound :math:`\pi / \Delta`;
        ``"majority"``, the bound :math:`\sqrt{u_0^2 + (\pi / \Delta)^2}`, where :math:`u_0` is the distance
        on the real line at which the likeliest class falls to probability one half; ``"exact"``, the
        distance itself. In this order none is smaller than the one before; for two classes the last two are
        equal.

    Returns
    -------
    LogitRadius

    Raises
    ------
    ValueError
        If a value is nan, shapes do not fit, there is no sample, slopes differ by more than float64 holds, or
        ``kind`` is unknown.
    TypeError
        If these are no real tensors.

    Notes
    -----
    Cost per sample on one core, at 10 / 100 / 1000 classes: spread 1 / 5 / 50 µs, majority 4 / 18 / 200 µs,
    exact 0.2 / 0.2 / 0.7 ms, up to a half more for very confident samples. All in float64; rounding never
    lifts a bound above that of the logits and slopes given (float32 ones are themselves right to about 1e-6).
    Exact radii beyond :math:`250 / \Delta` are not certified unless there are two different slopes, nor are
    double zeros; moduli of zeros that agree to 1e-9 count as equal.

    Sources: the radius, :math:`\pi / \Delta` and two classes: Sao, "Ghosts of softmax", arXiv:2603.13552,
    Prop. 4.2, Thm. 4.3 and 4.6. The majority bound is derived here: at a zero :math:`u + iy` no class can
    have more than half of the weight at u, as the terms have to close a polygon; where the likeliest class
    has more than half is one interval, because
    :math:`\log \sum_{k \ne top} e^{(z_k - z_{top}) + u (a_k - a_{top})}` is convex; and
    :math:`|y| \ge \pi / \Delta`, or all terms lie within a half plane.
    """
    check_choice("kind", kind, KINDS)
    partition = make_partition(logits, slopes)
    if kind == "spread":
        return _result(partition, torch.full_like(partition.spread, math.pi) * _ROUNDED_DOWN, kind)
    bound = _majority_bound(partition)
    if kind == "majority":
        return _result(partition, bound, kind)
    zero, certified = nearest_zero(partition, bound)
    return _result(
        partition, torch.where(certified, zero.abs(), bound), kind, certified | (partition.spread == 0)
    )


class BatchRadius(NamedTuple):
    """Radius of the mean loss of a batch.

    Attributes
    ----------
    radius : float
        The least of the samples' exact radii, inf if there is none.
    certified : bool
        Whether it is that; otherwise it is the majority bound of a sample, below which there is no zero.
    solved : int
        Samples whose exact radius had to be computed.
    """

    radius: float
    certified: bool
    solved: int


def minimum_radius(logits: Tensor, slopes: Tensor) -> BatchRadius:
    """Exact radius of the mean loss of samples: the least of theirs, without computing them all.

    A sum of logarithms branches at a zero of any of its partition functions, as the residues of F'/F are all
    positive and cannot cancel. Samples come in the order of their majority bounds, until those exceed the
    least radius found.

    Parameters
    ----------
    logits, slopes : Tensor (samples, classes)
        As in :func:`logit_radius`, which says what is refused.
    """
    bounds = logit_radius(logits, slopes).radius
    order = bounds.argsort()
    least, certified, solved = math.inf, True, 0
    for rows in order.split(_AT_ONCE):
        rows = rows[bounds[rows] < least]
        if not len(rows):
            break
        found = logit_radius(logits[rows], slopes[rows], "exact")
        solved += len(rows)
        radius, place = found.radius.min(0)
        if radius < least:
            least, certified = float(radius), bool(found.certified[place])
    return BatchRadius(least, certified, solved)


def _majority_bound(partition: Partition) -> Tensor:
    """The majority bound (m,) in s."""
    return (
        torch.hypot(majority_distance(partition), torch.full_like(partition.spread, math.pi)) * _ROUNDED_DOWN
    )


def _result(partition: Partition, s: Tensor, kind: str, certified: Tensor | None = None) -> LogitRadius:
    flat = partition.spread == 0
    radius = torch.where(flat, torch.inf, s / torch.where(flat, 1.0, partition.spread))
    if certified is None:
        certified = torch.ones_like(flat)
    return LogitRadius(radius, certified, partition.spread, kind)
