"""``LossSlice``: the loss along one or two directions, its quadratic model, and a barrier."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import BoundaryNorm

TOLERANCE = 0.1  # part of the loss change that the quadratic model may miss
_ROUNDINGS = 100  # differences of losses below this many roundings of the loss are none
_LEVELS = 25


class Validity(NamedTuple):
    """Where the quadratic model stops being true.

    Attributes
    ----------
    radius : float
        Distance from the origin of the nearest point of the grid at which model and loss differ by more than
        a tenth of the loss change (of the largest within that distance); inf if there is none.
    resolution : float
        Distance between neighbouring points of the grid: the model fails between ``radius - resolution`` and
        ``radius``.
    reach : float
        Distance of the farthest point at which that was asked.
    """

    radius: float
    resolution: float
    reach: float


class Barrier(NamedTuple):
    """How far the loss on a line rises above the straight line between the losses at its ends.

    Attributes
    ----------
    height : float
        Largest rise over the points of the grid, at least 0 (which it is at the ends); nan if a loss was.
    error : float
        What points between those of the grid may add to it, to second order.
    location : float
        Coordinate of that point.
    resolution : float
        Distance of the points in the coordinate.
    """

    height: float
    error: float
    location: float
    resolution: float


@dataclasses.dataclass(frozen=True, repr=False)
class LossSlice(Result):
    r"""The loss on a grid of one or two coordinates c, at the parameters :math:`\theta_0 + \sum_i c_i d_i`.

    Attributes
    ----------
    axes : tuple of ndarray (points,)
        Coordinates of the grid, one array for each direction.
    loss : ndarray (points,) or (points, points)
        Loss at each point, inf or nan where it is that. The first index is that of the first direction.
    computed : ndarray of bool, like ``loss``
        False where an interrupt came first; the loss is nan there.
    gram : ndarray (d, d)
        Inner products of the directions, which distances come from.
    gradient : ndarray (d,), optional
        Slopes :math:`g^\top d_i` at the origin; None if no quadratic model was asked for or there is none.
    hessian : ndarray (d, d), optional
        Curvatures :math:`d_i^\top H d_j` at the origin.
    precision : float
        Relative rounding error of a loss.
    labels : tuple of str
        What the directions are.
    line : bool
        Whether this is a line between two checkpoints, from 0 to 1.
    carried : tuple of str
        Tensors that are no selected parameters and move along such a line; there is no quadratic model then.
    path : ndarray (m, 2), optional
        Coordinates of a trajectory, projected into the plane.
    path_labels : tuple of str
        One for each of its points.
    explained : tuple of float
        Share of each direction in the variance of the trajectory.
    matvecs : int
        Products with the Hessian for the quadratic model, which takes one gradient, too.
    terms : str
        What the loss is made of, e.g. ``"loss"``.
    interrupted : bool
        Whether the computation was stopped before all points were done.
    """

    axes: tuple[np.ndarray, ...]
    loss: np.ndarray
    computed: np.ndarray
    gram: np.ndarray
    gradient: np.ndarray | None
    hessian: np.ndarray | None
    precision: float
    labels: tuple[str, ...]
    line: bool = False
    carried: tuple[str, ...] = ()
    path: np.ndarray | None = None
    path_labels: tuple[str, ...] = ()
    explained: tuple[float, ...] = ()
    matvecs: int = 0
    terms: str = "loss"
    interrupted: bool = False

    @property
    def passes(self) -> int:
        """Forward passes over the data."""
        return int(self.computed.sum())

    @property
    def coordinates(self) -> np.ndarray:
        """Coordinates of every point, in the shape of the grid and then (d,)."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1)

    @property
    def distance(self) -> np.ndarray:
        """Distance of every point from the origin, in the space of the parameters."""
        return distances(self.coordinates, self.gram)

    @property
    def origin_loss(self) -> float:
        """Loss where all coordinates are 0."""
        return float(self.loss[np.unravel_index(self.distance.argmin(), self.loss.shape)])

    @property
    def quadratic(self) -> np.ndarray | None:
        """Loss by the quadratic model at every point; None if there is no model."""
        if self.gradient is None or self.hessian is None:
            return None
        c = self.coordinates
        return self.origin_loss + c @ self.gradient + np.einsum("...i,ij,...j->...", c, self.hessian, c) / 2

    @property
    def validity(self) -> Validity | None:
        """Where the quadratic model stops being true; None if there is no model.

        Differences below 100 roundings of the loss at the origin count as none.
        """
        model = self.quadratic
        if model is None:
            return None
        done = self.computed.ravel()
        order = np.argsort(self.distance.ravel()[done], kind="stable")
        distance, loss, model = (part.ravel()[done][order] for part in (self.distance, self.loss, model))
        finite = np.isfinite(loss)
        changes = np.where(finite, np.abs(loss - self.origin_loss), 0.0)
        within = np.searchsorted(distance, distance * (1 + 1e-9), side="right") - 1
        allowed = TOLERANCE * np.maximum.accumulate(changes)[within]
        allowed = np.maximum(allowed, _ROUNDINGS * self.precision * abs(self.origin_loss))
        with np.errstate(invalid="ignore"):
            fails = ~finite | (np.abs(loss - model) > allowed)
        steps = [axis[1] - axis[0] for axis in self.axes]
        return Validity(
            radius=float(distance[fails.argmax()]) if fails.any() else np.inf,
            resolution=float(np.max(steps * np.sqrt(np.diag(self.gram)))),
            reach=float(distance[-1]),
        )

    @property
    def barrier(self) -> Barrier | None:
        """The barrier of a line between two checkpoints; None for other slices."""
        if not self.line:
            return None
        (t,) = self.axes
        rise = self.loss - self._between_ends()
        if np.isnan(rise[self.computed]).any():
            return Barrier(np.nan, np.nan, np.nan, float(t[1]))
        top = int(np.where(self.computed, rise, -np.inf).argmax())
        middle = min(max(top, 1), len(t) - 2)
        bend = rise[middle - 1] - 2 * rise[middle] + rise[middle + 1]
        # Within half a step of its top a parabola falls by an eighth of its second difference.
        return Barrier(float(rise[top]), abs(float(bend)) / 8, float(t[top]), float(t[1]))

    def circle(self, radius: float) -> np.ndarray:
        """Coordinates (2, 100) of points of a plane at this distance from the origin."""
        angles = np.linspace(0, 2 * np.pi, 100)
        lengths, axes = np.linalg.eigh(self.gram)
        return radius * axes @ (np.stack([np.cos(angles), np.sin(angles)]) / np.sqrt(lengths)[:, None])

    def frame(self) -> pd.DataFrame:
        """One row per point of the grid; the coordinates first, then what is known there."""
        count = len(self.axes)
        names = ["coordinate"] if count == 1 else [f"coordinate_{i}" for i in range(1, count + 1)]
        columns = {
            **dict(zip(names, self.coordinates.reshape(-1, count).T, strict=True)),
            "distance": self.distance.ravel(),
            "loss": self.loss.ravel(),
            "computed": self.computed.ravel(),
        }
        if self.quadratic is not None:
            columns["quadratic"] = self.quadratic.ravel()
        if self.line:
            columns["between_ends"] = self._between_ends()
        return pd.DataFrame(columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw a line with its quadratic model, or a plane as contours with the path of a trajectory.

        Where the loss is not finite there is a cross; what was not computed stays empty. Green shows how far
        the quadratic model is true.
        """
        ax = new_axes(ax)
        if len(self.axes) == 1:
            self._plot_line(ax)
        else:
            self._plot_plane(ax)
        ax.set_xlabel(self.labels[0])
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Range of the loss, the barrier, how far the quadratic model is true, and the cost."""
        lines = [self._describe_loss()]
        if self.barrier is not None:
            height, error, location, resolution = self.barrier
            lines.append(
                f"barrier {height:.4g} (+{error:.1g} between points) at {location:.4g} ± {resolution:.2g}"
            )
        if self.carried:
            count = len(self.carried)
            lines.append(f"{count} tensors move along that are no selected parameters: {self.carried[0]}, …")
        if self.validity is not None:
            lines.append(self._describe_validity())
        model = f", 1 gradient, {self.matvecs} Hessian products" if self.matvecs else ""
        lines.append(f"{self.passes} forward passes{model}, of: {self.terms}")
        return "\n".join(lines)

    # ---- inside ---------------------------------------------------------------------------------------

    def _between_ends(self) -> np.ndarray:
        (t,) = self.axes
        with np.errstate(invalid="ignore"):  # an end may be infinite
            return (1 - t) * self.loss[0] + t * self.loss[-1]

    def _describe_loss(self) -> str:
        finite = self.loss[self.computed & np.isfinite(self.loss)]
        span = f", {finite.min():.4g} to {finite.max():.4g}" if len(finite) else ""
        points = f"{self.loss.size} points"
        if self.interrupted:
            points = f"{self.passes} of {points}, interrupted"
        unfinite = int((self.computed & ~np.isfinite(self.loss)).sum())
        note = f", {unfinite} NOT FINITE" if unfinite else ""
        return f"loss {self.origin_loss:.4g} at the origin{span} on the slice ({points}{note})"

    def _describe_validity(self) -> str:
        assert self.validity is not None
        radius, resolution, reach = self.validity
        if np.isinf(radius):
            return f"the quadratic model is true to {TOLERANCE:.0%} of the loss change as far as {reach:.3g}"
        hint = " (the nearest point: lower reach)" if radius <= 1.001 * resolution else ""
        return (
            f"the quadratic model comes to miss {TOLERANCE:.0%} of the loss change at a distance of "
            f"{max(radius - resolution, 0):.3g} to {radius:.3g}{hint}"
        )

    def _plot_line(self, ax: "Axes") -> None:
        (t,) = self.axes
        drawn = self.computed & np.isfinite(self.loss)
        ax.plot(t, np.where(drawn, self.loss, np.nan), color=BLUE, marker=".", label="loss")
        crosses = t[self.computed & ~drawn]
        if len(crosses):
            top = ax.get_xaxis_transform()  # the height as a part of the axes
            ax.plot(crosses, np.full(len(crosses), 0.97), "x", color=VERMILION, transform=top,
                    label="loss not finite")  # fmt: skip
        if drawn.any():
            low, high = self.loss[drawn].min(), self.loss[drawn].max()
            margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
            ax.set_ylim(low - margin, high + 2 * margin)
        if self.quadratic is not None and self.validity is not None:
            ax.plot(t, self.quadratic, color=VERMILION, linestyle="--", label="quadratic model")
            reach = min(self.validity.radius, self.validity.reach) / np.sqrt(self.gram[0, 0])
            ax.axvspan(max(-reach, t[0]), min(reach, t[-1]), color=GREEN, alpha=0.15, linewidth=0,
                       label=f"until it misses {TOLERANCE:.0%} of the change")  # fmt: skip
        if self.barrier is not None:
            ax.plot(t, self._between_ends(), color="0.4", linestyle=":", label="between the ends")
            height, _, location, _ = self.barrier
            if np.isfinite(height):
                foot = np.interp(location, t, self._between_ends())
                ax.vlines(location, foot, foot + height, color=GREEN, label=f"barrier {height:.3g}")
        ax.set_ylabel(self.terms)

    def _plot_plane(self, ax: "Axes") -> None:
        x, y = self.axes
        drawn = self.computed & np.isfinite(self.loss)
        if drawn.any():
            low, high = float(self.loss[drawn].min()), float(self.loss[drawn].max())
            # Levels lie closer together near the lowest loss, where the minima are.
            levels = low + (high - low or abs(high) or 1.0) * np.linspace(0, 1, _LEVELS) ** 3
            values = np.ma.masked_array(self.loss, ~drawn).T
            filled = ax.contourf(x, y, values, levels=levels, cmap="Blues", norm=_spread(levels))
            ax.contour(x, y, values, levels=levels, colors="0.4", linewidths=0.4)
            ax.figure.colorbar(filled, ax=ax, label=self.terms, ticks=levels[::6])
        unfinite = self.coordinates[self.computed & ~drawn]
        if len(unfinite):
            ax.plot(*unfinite.T, "x", color=VERMILION, markersize=4, linestyle="", label="loss not finite")
        if self.validity is not None and self.validity.radius < self.validity.reach:
            ax.plot(*self.circle(self.validity.radius), color=GREEN,
                    label=f"the quadratic model misses {TOLERANCE:.0%} of the change")  # fmt: skip
            ax.set_xlim(x[0], x[-1])
            ax.set_ylim(y[0], y[-1])
        if self.path is not None:
            ax.plot(*self.path.T, color=VERMILION, marker=".", label="trajectory, projected")
            for place in (0, -1):
                ax.annotate(self.path_labels[place], self.path[place], fontsize="small")
        ax.plot(0, 0, "+", color="black", markersize=9)
        ax.set_ylabel(self.labels[1])


def distances(coordinates: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Lengths of combinations (..., d) of vectors with these inner products (d, d)."""
    squares = np.einsum("...i,ij,...j->...", coordinates, gram, coordinates)
    return np.sqrt(np.maximum(squares, 0))


def _spread(levels: np.ndarray) -> "BoundaryNorm":
    """Colours in equal steps from level to level."""
    from matplotlib.colors import BoundaryNorm

    return BoundaryNorm(levels, 256)
