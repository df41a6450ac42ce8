"""``Trace``: what a recorder measured, step by step."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pandas as pd

from workbench.choices import suggestion
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In every record: the rate of the step, and what training, the recorder itself and its listeners took since
# the row before.
LEARNING_RATE, TRAINING_SECONDS = "learning_rate", "training_seconds"
RECORDER_SECONDS, LISTENER_SECONDS = "recorder_seconds", "listener_seconds"
THRESHOLD = "stability_threshold"
CURVATURES = ("sharpness", "preconditioned_sharpness", "batch_sharpness", "gradient_curvature")
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY)


class Row(NamedTuple):
    """One number: a part of a quantity at a step, its error, and the seconds that it took."""

    step: int
    quantity: str
    part: str
    value: float
    error: float
    seconds: float


@dataclasses.dataclass(frozen=True, repr=False)
class Trace(Result):
    """Quantities over the steps of a training.

    Attributes
    ----------
    step : ndarray of int (rows,)
        Steps that had been taken before the one that a row tells of. State, gradient and curvature are those
        from which it was taken, the update is its own.
    quantity, part : ndarray of str (rows,)
        What was measured; the main number of a quantity is its part ``""``.
    value, error : ndarray (rows,)
        The number, nan where it could not be measured (the loss or its gradient was not finite), and its
        standard error, or the residual norm of an eigenvalue; 0 if exact.
    seconds : ndarray (rows,)
        Wall time of the measurement, in equal shares among its parts. The recorder's own (copies of the
        parameters, the file) is that of ``"recorder_seconds"``, that of its listeners, such as a live figure,
        of ``"listener_seconds"``, each row from the row before on; what follows the last row is in none.
    every : dict of str to int
        Steps from one measurement of a quantity to the next.
    gradients : dict of str to float
        Declared cost of one measurement, in gradients over the problem's data.
    """

    step: np.ndarray
    quantity: np.ndarray
    part: np.ndarray
    value: np.ndarray
    error: np.ndarray
    seconds: np.ndarray
    every: dict[str, int]
    gradients: dict[str, float]

    @classmethod
    def from_rows(cls, rows: Sequence[Row], every: dict[str, int], gradients: dict[str, float]) -> Self:
        """Make a trace of rows."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(Row._fields)
        kinds = (int, str, str, float, float, float)
        arrays: dict[str, Any] = {
            name: np.array(column, dtype=kind)
            for name, column, kind in zip(Row._fields, columns, kinds, strict=True)
        }
        return cls(**arrays, every=dict(every), gradients=dict(gradients))

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of all that was recorded."""
        return tuple(dict.fromkeys(self.quantity.tolist()))

    @property
    def overhead(self) -> float:
        """Seconds of measuring, the recorder's own and its listeners' included, per second of training.

        nan if no training was timed.
        """
        training = self.value[self.quantity == TRAINING_SECONDS].sum()
        return float(self.seconds.sum() / training) if training > 0 else float("nan")

    def of(self, quantity: str, part: str = "") -> pd.DataFrame:
        """One row per measurement of a quantity: step, value, error.

        Raises
        ------
        ValueError
            If it was not recorded, with the nearest name.
        """
        parts = self.parts(quantity)
        if part not in parts:
            raise ValueError(f"{quantity!r} has no part {part!r}: there is {', '.join(map(repr, parts))}")
        chosen = (self.quantity == quantity) & (self.part == part)
        columns = {"step": self.step, "value": self.value, "error": self.error}
        return pd.DataFrame({name: column[chosen] for name, column in columns.items()})

    def parts(self, quantity: str) -> tuple[str, ...]:
        """Names of the parts of a quantity; refused like :meth:`of` if it was not recorded."""
        if quantity not in self.quantities:
            known = ", ".join(self.quantities) or "nothing"
            near = suggestion(quantity, self.quantities)
            raise ValueError(f"{quantity!r} was not recorded: there is {known}{near}")
        return tuple(dict.fromkeys(self.part[self.quantity == quantity].tolist()))

    def frame(self) -> pd.DataFrame:
        """One row per number."""
        return pd.DataFrame({name: getattr(self, name) for name in Row._fields})

    def costs(self) -> pd.DataFrame:
        """One row per quantity: its schedule, its declared cost, and what measuring it took.

        The recorder's own seconds and its listeners' belong to none of them: see ``of("recorder_seconds")``
        and ``of("listener_seconds")``.
        """
        frame = self.frame()
        measured = frame.groupby("quantity", sort=False)["step"].nunique()
        seconds = frame.groupby("quantity", sort=False)["seconds"].sum()
        names = list(self.every)
        return pd.DataFrame(
            {
                "quantity": names,
                "every": [self.every[name] for name in names],
                "gradients": [self.gradients[name] for name in names],
                "measurements": [int(measured.get(name, 0)) for name in names],
                "seconds": [float(seconds.get(name, 0.0)) for name in names],
            }
        )

    def plot(self, ax: "Axes | None" = None, quantities: str | Sequence[str] | None = None) -> "Axes":
        """Draw quantities against the step, each with its error, and thresholds as dashed lines.

        By default curvatures and the threshold of stability, or the first quantity if there is none. The axis
        is logarithmic where all is positive.
        """
        ax = new_axes(ax)
        names = [quantities] if isinstance(quantities, str) else quantities or self._shown_first()
        lines = [(name, part) for name in names for part in self.parts(name)]
        for number, (name, part) in enumerate(lines):
            line = self.of(name, part)
            color = _COLORS[number % len(_COLORS)]
            label = f"{name}: {part}" if part else name
            if name == THRESHOLD:
                ax.plot(line["step"], line["value"], color="0.4", linestyle="--", label=label)
                continue
            ax.plot(line["step"], line["value"], color=color, marker=".", label=label)
            error = line["error"].fillna(0)
            ax.fill_between(
                line["step"], line["value"] - error, line["value"] + error, color=color, alpha=0.2
            )
        drawn = self.value[np.isin(self.quantity, list(names))]
        if len(drawn) and (drawn[np.isfinite(drawn)] > 0).all():
            ax.set_yscale("log")
        ax.set_xlabel("step")
        ax.set_ylabel(names[0] if len(names) == 1 else "value")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        if lines:
            ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The last value of each quantity, how much was measured, and what it cost beside the training."""
        if not len(self.step):
            return "nothing was recorded yet"
        steps = np.unique(self.step)
        own, listeners = (
            self.seconds[self.quantity == name].sum() for name in (RECORDER_SECONDS, LISTENER_SECONDS)
        )
        seconds = self.seconds.sum() - listeners
        apart = f", {listeners:.2g} s of listeners" if listeners else ""
        training = self.value[self.quantity == TRAINING_SECONDS].sum()
        lines = [
            f"{len(steps)} steps from {steps[0]} to {steps[-1]} recorded: {seconds:.3g} s of measuring "
            f"({own:.2g} s the recorder's own){apart} beside {training:.3g} s of training"
        ]
        for name in self.every:
            if name not in self.quantities:
                continue
            for part in self.parts(name):
                last = self.of(name, part).iloc[-1]
                error = f" ± {last['error']:.2g}" if last["error"] else ""
                label = f"{name}, {part}" if part else name
                lines.append(f"{label}: {last['value']:.6g}{error} at step {last['step']:.0f}")
        return "\n".join(lines)

    def _shown_first(self) -> tuple[str, ...]:
        curvatures = tuple(name for name in (*CURVATURES, THRESHOLD) if name in self.quantities)
        measured = tuple(name for name in self.every if name in self.quantities)
        return curvatures or measured[:1]
