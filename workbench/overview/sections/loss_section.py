"""The section on the loss around here: along the next step, along the path of the training, between "
"checkpoints.
"""

import dataclasses
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.curvature import Directions, LossSlice, main_directions, slice_loss
from workbench.inspection import Barriers, barriers
from workbench.overview.caution import Caution
from workbench.overview.finding import Finding
from workbench.overview.planning import Cost, Level
from workbench.overview.section import Section, rate_text
from workbench.overview.setting import Setting
from workbench.overview.watch import Watch
from workbench.problem import Problem
from workbench.result import new_axes
from workbench.stability import update_vector

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BARRIER = 0.1  # of the loss at the ends: a barrier above that is warned of


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class LossSection(Section):
    """The loss around here.

    Attributes
    ----------
    along : LossSlice or None
        Along the optimizer's next update; coordinate 1 is its end.
    rate : float
        Learning rate of that update.
    optimizer : str
    plane : LossSlice or None
        The plane of the training's two main directions, with its path.
    walls : Barriers or None
        Along straight lines between checkpoints.
    """

    key: ClassVar[str] = "loss"
    title: ClassVar[str] = "Loss around here"
    notebook: ClassVar[str] = "curvature"
    size: ClassVar[tuple[float, float]] = (9.0, 3.8)

    along: LossSlice | None = None
    rate: float = math.nan
    optimizer: str = "sgd"
    plane: LossSlice | None = None
    walls: Barriers | None = None

    @property
    def lowest(self) -> tuple[float, float] | None:
        """Learning rate at the lowest point along the step, and the loss there; None if unknown."""
        if self.along is None:
            return None
        ahead = self._ahead(self.along)
        if not ahead.any():
            return None
        rates, losses = self.along.axes[0][ahead] * self.rate, self.along.loss[ahead]
        place = int(losses.argmin())
        return float(rates[place]), float(losses[place])

    @property
    def still_falls(self) -> bool:
        """Whether the lowest point is the last one that is known."""
        if self.along is None or self.lowest is None:
            return False
        return self.lowest[0] == float(self.along.axes[0][self._ahead(self.along)][-1] * self.rate)

    @staticmethod
    def _ahead(along: LossSlice) -> np.ndarray:
        """Points of the slice ahead of here whose loss is a number."""
        ahead: np.ndarray = (along.axes[0] >= 0) & along.computed & np.isfinite(along.loss)
        return ahead

    @property
    def sentence(self) -> str:
        """Where one step would go best, and whether checkpoints are connected."""
        if self.along is None or self.lowest is None:
            text = "The loss along the next step could not be measured."
        else:
            rate, loss = self.lowest
            here = self.along.origin_loss
            if rate == 0:
                text = (
                    f"The next step of {self.optimizer} does not lower the loss of {here:.3g} at any length "
                    "shown."
                )
            else:
                where = f"near {rate_text(rate)}"
                if self.still_falls:
                    where = f"of {rate_text(rate)} or more, beyond what was looked at"
                text = (
                    f"One step of {self.optimizer} lowers the loss of {here:.3g} by {here - loss:.2g} at "
                    f"best, with a learning rate {where}."
                )
        if self.walls is not None:
            text += f" {_connection(self.walls)}"
        return text

    @property
    def caption(self) -> str:
        """How to read the slice and the plane."""
        left = (
            "Left: the loss if only this one step were taken, with any learning rate, and the parabola that "
            "the curvature here predicts; where they part (green until then), curvature says nothing more."
        )
        if self.plane is not None:
            return (
                f"{left} Right: the loss over the plane in which the training moved most, with the path of "
                "its checkpoints. In many dimensions every path looks smooth here: read the shares of "
                "variance."
            )
        if self.walls is not None:
            return f"{left} Right: the loss on straight lines between checkpoints."
        return left

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Best single step, how far the parabola holds, the barrier."""
        found = []
        if self.along is not None and self.lowest is not None:
            step = float(self.along.axes[0][1] - self.along.axes[0][0]) * self.rate
            found.append(Finding.exact("loss here", self.along.origin_loss))
            if self.still_falls:
                rate = self.lowest[0]
                found.append(Finding("best rate of a single step", rate, rate - step, math.inf, "at least"))
            else:
                found.append(Finding.within("best rate of a single step", self.lowest[0], step, "grid"))
            if self.along.validity is not None and math.isfinite(self.along.validity.radius):
                unit = math.sqrt(self.along.gram[0, 0])
                radius, resolution = self.along.validity.radius, self.along.validity.resolution
                found.append(
                    Finding(
                        "rate at which the parabola misses 10 % of the change",
                        radius / unit * self.rate,
                        max(radius - resolution, 0) / unit * self.rate,
                        radius / unit * self.rate,
                        "grid",
                    )
                )
        if self.walls is not None:
            found += _barrier_findings(self.walls)
        return tuple(found)

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """A barrier between the first and the last checkpoint."""
        if self.walls is None:
            return ()
        row = _highest(self.walls, neighbours=True)  # from the start to the end a barrier is usual
        if row is None or not row["barrier"] > _BARRIER * max(abs(row["loss_start"]), abs(row["loss_stop"])):
            return ()
        return (
            Caution(
                f"from checkpoint {row['start']} to {row['stop']} the loss rises by {row['barrier']:.3g} "
                "above the line between: averages of such weights are worse than either",
                "highest barrier",
                row["barrier"],
                _BARRIER * max(abs(row["loss_start"]), abs(row["loss_stop"])),
            ),
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The slice along the step; without one, the plane or the lines between checkpoints."""
        ax = new_axes(ax)
        if self.along is not None:
            self._plot_along(self.along, ax)
        elif self._path is not None:
            self._path.plot(ax)
        return ax

    def draw(self, figure: "Figure") -> None:
        """The slice along the step beside the plane or the lines between checkpoints."""
        if self.along is None or self._path is None:
            self.plot(figure.subplots())
            return
        left, right = figure.subplots(1, 2)
        self.plot(left)
        self._path.plot(right)
        right.set_title("")

    @property
    def _path(self) -> LossSlice | Barriers | None:
        """Where the training went."""
        return self.plane if self.plane is not None else self.walls

    def _plot_along(self, along: LossSlice, ax: "Axes") -> None:
        along.plot(ax)
        ax.set_title("")
        first, last = along.axes[0][0], along.axes[0][-1]
        ax.set_xlim(first, last)
        inside = [tick for tick in ax.get_xticks() if first <= tick <= last]
        ax.set_xticks(inside, [f"{tick * self.rate:.2g}" for tick in inside], fontsize="small")
        ax.axvline(0, color="0.4", linewidth=0.8, linestyle=":")
        ax.set_xlabel(f"learning rate of one step of {self.optimizer}")


def offer(setting: Setting) -> list[Level]:
    """Return how finely the loss may be looked at."""
    count = len(setting.problem.checkpoints or ())
    lines = count if count > 2 else count - 1
    levels = []
    for points, grid, between in ((11, 0, 0), (21, 7, 5), (31, 13, 11), (41, 21, 21)):
        forwards = points + (grid**2 if count > 2 else 0) + (between * lines if count > 1 else 0)
        levels.append(
            Level(
                Cost(gradients=2, forwards=forwards, products=1),
                {"points": points, "grid": grid, "between": between},
            )
        )
    return levels


def measure(setting: Setting, watch: Watch, *, points: int, grid: int, between: int) -> LossSection:
    """Look at the loss along the next step, and where the training went."""
    if setting.problem.regularizer is not None or setting.problem.weight_decay:
        watch.skip("regularizer and weight decay", "what is measured here is the loss of the examples alone")
    problem = setting.problem
    along = watch.measure("loss along the next step", _slice_along, setting, points)
    count = len(problem.checkpoints or ())
    plane = walls = None
    if count < 2:
        watch.skip("path of the training", "no checkpoints were given")
    elif grid:
        if count > 2:
            plane = watch.measure("plane of the training", _slice_plane, problem, grid)
        walls = watch.measure("lines between checkpoints", barriers, problem, between)
    else:
        watch.skip("path of the training", "the budget did not reach")
    passes = sum(each.passes for each in (along, plane, walls) if each is not None)
    products = sum(each.matvecs for each in (along, plane) if each is not None)
    return LossSection(
        left_out=tuple(watch.left_out),
        gradients=passes / 3 + 2 * products + 2,
        seconds=watch.seconds,
        interrupted=watch.interrupted,
        along=along,
        rate=setting.update_rate,
        optimizer=setting.maker.name,
        plane=plane,
        walls=walls,
    )


def _slice_along(setting: Setting, points: int) -> LossSlice:
    """The loss as far as the parabola along the step reaches, in both directions."""
    update = update_vector(setting.problem, setting.optimizer).to(setting.problem.dtype)
    direction = Directions(update[:, None], (f"update of {setting.maker.name}",))
    return slice_loss(setting.problem, direction, reach="parabola", points=points)


def _slice_plane(problem: Problem, grid: int) -> LossSlice:
    return slice_loss(problem, main_directions(problem), points=grid, quadratic=False)


def _highest(walls: Barriers, *, neighbours: bool = False) -> Any:
    """The row of the highest barrier, of all lines or those to the next checkpoint; None if there is none."""
    ends = list(zip(walls.starts, walls.stops, strict=True))
    allowed = list(pairwise(walls.labels)) if neighbours else ends
    rows = [row for pair, (_, row) in zip(ends, walls.frame().iterrows(), strict=True) if pair in allowed]
    finite = [row for row in rows if not math.isnan(row["barrier"])]
    return max(finite, key=lambda row: float(row["barrier"]), default=None)


def _connection(walls: Barriers) -> str:
    row = _highest(walls)
    if row is None:
        return "The loss between checkpoints is not a number."
    if not row["above_error"]:
        seen = f"{len(walls.lines[0].axes[0])} points of each line"
        return f"Between checkpoints no rise of the loss was seen, on {seen}."
    return (
        f"Between checkpoints {row['start']} and {row['stop']} it rises by {row['barrier']:.2g} above the "
        "straight line between its ends, the highest barrier of the path."
    )


def _barrier_findings(walls: Barriers) -> list[Finding]:
    row = _highest(walls)
    if row is None:
        return []
    table = walls.frame()
    high = float((table["barrier"] + table["barrier_error"]).max())
    name = "highest barrier between checkpoints"
    return [Finding(name, row["barrier"], row["barrier"], high, "between points")]
