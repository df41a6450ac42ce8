"""``partial_sums``: the Taylor series of a loss, summed up inside and outside its radius."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_count
from workbench.problem import Problem
from workbench.result import Result, new_axes
from workbench.stability.problem_radius import read_direction
from workbench.stability.radii import logit_radius
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.taylor_series import series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROUNDING = 1e-12  # error of a sum below which it says nothing of the series


@dataclasses.dataclass(frozen=True, repr=False)
class PartialSums(Result):
    """Errors of the Taylor sums of one example's log partition function, its logits linearised.

    Attributes
    ----------
    part : ndarray (points,)
        Distance over the exact radius.
    error : ndarray (points, order + 1)
        Sum of the terms up to each order less the function, in magnitude.
    radius : float
        Exact radius of the example, in the parameters.
    certified : bool
        Whether it is certified; otherwise it is the majority bound.
    example : int
        The row of the problem's data that limits the mean loss.
    direction : str
        What the line is along.
    """

    part: np.ndarray
    error: np.ndarray
    radius: float
    certified: bool
    example: int
    direction: str

    def frame(self) -> pd.DataFrame:
        """One row per distance and order."""
        points, orders = self.error.shape
        return pd.DataFrame(
            {
                "part": np.repeat(self.part, orders),
                "order": np.tile(np.arange(orders), points),
                "error": self.error.ravel(),
            }
        )

    def growth(self) -> np.ndarray:
        """Factor (points,) of the error from one order to the next, over the last half of the orders.

        In the limit it is the part of the radius. It is of the largest errors in two windows, since errors
        oscillate; nan where the error has come down to rounding.
        """
        count = self.error.shape[1]
        window = max(count // 4, 1)
        late = self.error[:, -window:].max(1)
        early = self.error[:, count - 2 * window : count - window].max(1)
        return np.where(early > _ROUNDING, (late / np.maximum(early, _ROUNDING)) ** (1 / window), np.nan)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Errors against the order, a line for each distance: blue inside the radius, red outside."""
        from matplotlib import colormaps

        ax = new_axes(ax)
        inside, outside = np.flatnonzero(self.part < 1), np.flatnonzero(self.part >= 1)
        shades = dict(zip(inside, colormaps["Blues"](np.linspace(0.5, 0.95, len(inside))), strict=True))
        shades |= dict(zip(outside, colormaps["Reds"](np.linspace(0.5, 0.95, len(outside))), strict=True))
        orders = np.arange(self.error.shape[1])
        for point, part in enumerate(self.part):
            ax.plot(orders, np.maximum(self.error[point], 1e-17), color=shades[point], linewidth=1.3,
                    label=f"{part:g} ρ*")  # fmt: skip
        ax.set_yscale("log")
        ax.set_xlabel("order of the last term")
        ax.set_ylabel("|sum − function|")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="x-small", ncols=2)
        return ax

    def summary(self) -> str:
        """Error at the highest order nearest to the radius on both sides."""
        worth = "certified" if self.certified else "NOT certified"
        last = self.error[:, -1]
        lines = [f"example {self.example} limits the loss: ρ* = {self.radius:.4g} ({worth})"]
        for point, part in enumerate(self.part):
            lines.append(f"at {part:g} ρ*: error {last[point]:.2g} at order {self.error.shape[1] - 1}")
        return "\n".join([*lines, f"one forward-mode pass over the data, along the {self.direction}"])


def partial_sums(
    problem: Problem,
    direction: Any = "gradient",
    *,
    parts: Sequence[float] = (0.25, 0.5, 0.75, 0.9, 1.03, 1.1, 1.25, 1.5),
    order: int = 120,
    seed: int = 0,
) -> PartialSums:
    """Sum the Taylor series of the loss of the example whose ghost is nearest.

    Parameters
    ----------
    problem : Problem
        Its loss is a cross entropy of logits, see :func:`logits_and_slopes`.
    direction : Optimizer, {"gradient", "random"}, Eigenpairs or Tensor (n,)
        As in :func:`taylor_radius`.
    parts : sequence of float
        Distances over the exact radius, above 0.
    order : int
        Of the last term, 4 to 150.
    seed : int
        Of the random direction.

    Returns
    -------
    PartialSums

    Raises
    ------
    ValueError
        If a number is out of range, no logit moves, or as :func:`taylor_radius` does.

    Notes
    -----
    The mean loss diverges beyond the same radius, since it contains this example's loss; with n examples the
    divergence is n times smaller and shows at higher orders.
    Cost: one forward-mode pass over the data, a gradient for ``"gradient"``.
    Source: Sao, "Ghosts of softmax", arXiv:2603.13552, Prop. 4.2.
    """
    check_count("order", order, low=4, high=150)
    if not len(parts) or not all(0 < part < np.inf for part in parts):
        raise ValueError(f"parts={list(parts)!r}: pass at least one, all positive and finite")
    vector, label, step = read_direction(problem, direction, seed)
    pairs = list(logits_and_slopes(problem, vector / step))
    logits, slopes = (torch.cat(each).double() for each in zip(*pairs, strict=True))
    radii = logit_radius(logits, slopes, "exact")
    example = int(radii.radius.argmin())
    radius = float(radii.radius[example])
    if not np.isfinite(radius):
        raise ValueError(f"no logit changes along the {label}, so the series has no radius")
    rows = slice(example, example + 1)
    taylor = series(logits[rows], slopes[rows], order)
    t = radius * torch.tensor(list(parts), dtype=torch.float64)
    error = (taylor.partial_sums(t) - taylor.values(t)[..., None]).abs()[0]
    return PartialSums(
        part=np.array(parts, dtype=float),
        error=error.cpu().numpy(),
        radius=radius,
        certified=bool(radii.certified[example]),
        example=example,
        direction=label,
    )
