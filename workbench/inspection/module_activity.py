"""``Activity``: the size of activations and of gradients, module by module, and units that do nothing."""

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.inspection.layer_axis import layer_axis, log_axis
from workbench.moment import Reading
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Jump(NamedTuple):
    """The largest change of the activations' size from one layer to the next.

    Attributes
    ----------
    before, after : str
        The two layers.
    factor : float
        Root mean square after over that before.
    """

    before: str
    after: str
    factor: float


@dataclasses.dataclass(frozen=True, repr=False)
class Activity(Result):
    """What the innermost modules of a model return for some examples, and the gradient of the loss there.

    Arrays have an entry for each module, in the order of the first calls; an activation function that is
    called without a module (``F.relu``) is listed under the module in which it is called. A rectifier that is
    called several times in a pass has an entry for each call: ``relu``, ``relu (call 2)``.

    Attributes
    ----------
    modules, kinds : tuple of str
        Names and classes.
    layers : ndarray of bool
        Whether the module has parameters of its own, does not normalise (``Norm`` in its class's name), and
        returned a row for each example.
    calls : ndarray of int
        Times that it was called in one forward pass, on average rounded up.
    rms, rms_stderr : ndarray
        Root mean square of its outputs, each example counted alike, and the standard error over the examples
        (nan where what belongs to an example is not known). Values that are not finite are left out.
    largest : ndarray
        Largest absolute output.
    gradient_rms, gradient_rms_stderr : ndarray
        The same of the gradient of an example's loss there: that of the batch's mean loss times its examples.
        nan where no gradient flows, or outputs have no row for each example.
    units, dead : ndarray of int
        Units (channels, features) of a rectifier, and those of them that were zero at every place of every
        example; 0 for others.
    zero : ndarray
        Share of a rectifier's outputs that are zero; nan for others.
    saturated : ndarray
        Share of a sigmoid's or tanh's outputs where its slope is under 5 % of the largest; nan for others.
    unfinite, gradient_unfinite : ndarray of int
        Outputs, and entries of their gradients, that are inf or nan.
    examples : int
        Examples that were looked at.
    gradients : float
        What it cost, in gradients over all the data.
    left_out : dict of str to str
        What is not there, and why.
    interrupted : bool
        Whether there are fewer examples than asked for because the computation was stopped.
    """

    modules: tuple[str, ...]
    kinds: tuple[str, ...]
    layers: np.ndarray
    calls: np.ndarray
    rms: np.ndarray
    rms_stderr: np.ndarray
    largest: np.ndarray
    gradient_rms: np.ndarray
    gradient_rms_stderr: np.ndarray
    units: np.ndarray
    dead: np.ndarray
    zero: np.ndarray
    saturated: np.ndarray
    unfinite: np.ndarray
    gradient_unfinite: np.ndarray
    examples: int
    gradients: float
    left_out: dict[str, str]
    interrupted: bool = False

    @property
    def dead_share(self) -> float:
        """Share of all rectifiers' units that are dead; nan if there is no rectifier."""
        return float(self.dead.sum() / self.units.sum()) if self.units.any() else math.nan

    @property
    def rarest(self) -> float:
        """How often a unit that is dead here may yet be active: share of examples, with 95 % confidence.

        For examples drawn at random, :math:`1 - 0.05^{1/n}`, some 3 / n. Whole batches of data in an order
        (batches that cannot be split) are not: there it may be active more often.
        """
        return -math.expm1(math.log(0.05) / self.examples)

    @property
    def growth(self) -> Reading:
        """Factor by which the outputs grow from one of the ``layers`` to the next, with its standard error.

        From a straight line through the logarithms of ``rms``, by least squares over the layers.
        """
        return _growth(self.rms[self.layers])

    @property
    def gradient_growth(self) -> Reading:
        """Factor by which the gradient grows from one of the ``layers`` to the one before it."""
        return _growth(self.gradient_rms[self.layers][::-1])

    @property
    def largest_jump(self) -> Jump | None:
        """The largest change, up or down, between neighbours among the ``layers``; None if there is none."""
        names = [name for name, layer in zip(self.modules, self.layers, strict=True) if layer]
        logs = _logs(self.rms[self.layers])
        if not np.isfinite(np.diff(logs)).any():
            return None
        place = int(np.nanargmax(np.abs(np.diff(logs))))
        return Jump(names[place], names[place + 1], float(np.exp(logs[place + 1] - logs[place])))

    def frame(self) -> pd.DataFrame:
        """One row per module."""
        names = [
            "calls", "rms", "rms_stderr", "largest", "gradient_rms", "gradient_rms_stderr", "units", "dead",
            "zero", "saturated", "unfinite", "gradient_unfinite",
        ]  # fmt: skip
        columns = {"module": self.modules, "kind": self.kinds, "layer": self.layers}
        return pd.DataFrame(columns | {name: getattr(self, name) for name in names})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Size of the outputs and of the gradient there, module by module, on a logarithmic axis."""
        ax = new_axes(ax)
        places = layer_axis(ax, self.modules)
        for values, errors, color, marker, label in (
            (self.rms, self.rms_stderr, BLUE, "o", "outputs ± standard error"),
            (self.gradient_rms, self.gradient_rms_stderr, ORANGE, "s", "gradient of an example's loss there"),
        ):
            shown = values > 0
            if shown.any():
                ax.errorbar(values[shown], places[shown], xerr=np.nan_to_num(errors[shown]), fmt=marker,
                            color=color, markersize=4, label=label)  # fmt: skip
        bad = (self.unfinite > 0) | (self.gradient_unfinite > 0)
        if bad.any():
            side = ax.get_yaxis_transform()  # the abscissa as a part of the axes
            ax.plot(np.full(bad.sum(), 0.98), places[bad], "x", color=VERMILION, transform=side,
                    label="not finite")  # fmt: skip
        if (self.rms > 0).any():
            log_axis(ax)
        ax.set_xlabel("root mean square")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def plot_units(self, ax: "Axes | None" = None) -> "Axes":
        """Shares of dead units, zeros and saturated outputs of the activation functions."""
        ax = new_axes(ax)
        chosen = (self.units > 0) | ~np.isnan(self.saturated) | ~np.isnan(self.zero)
        names = [name for name, use in zip(self.modules, chosen, strict=True) if use]
        places = layer_axis(ax, names)
        with np.errstate(invalid="ignore"):
            dead = (self.dead / self.units)[chosen]
        for values, color, label, height in (
            (self.zero[chosen], "0.8", "zeros", 0.8),
            (self.saturated[chosen], ORANGE, "saturated (slope under 5 %)", 0.8),
            (dead, VERMILION, f"dead units (zero on all {self.examples} examples)", 0.4),
        ):
            if np.isfinite(values).any():
                ax.barh(places, np.nan_to_num(values), height, color=color, label=label)
        ax.set_xlim(0, 1)
        ax.set_xlabel("share")
        ax.set_title(self._describe_units(), fontsize="small")
        if names:
            ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Growth through depth, the largest jump, dead and saturated units, what is not finite, the cost."""
        lines = []
        if math.isfinite(self.growth.value):
            back = _show(self.gradient_growth)
            lines.append(f"outputs ×{_show(self.growth)} per layer, gradients ×{back} per layer back")
        if self.largest_jump is not None:
            before, after, factor = self.largest_jump
            lines.append(f"largest jump ×{factor:.3g}, from {before} to {after}")
        lines.append(self._describe_units())
        unfinite = int(self.unfinite.sum() + self.gradient_unfinite.sum())
        if unfinite:
            first = self.modules[int(((self.unfinite > 0) | (self.gradient_unfinite > 0)).argmax())]
            lines.append(f"{unfinite} values NOT FINITE, first in {first}")
        lines += [f"{what}: {reason}" for what, reason in self.left_out.items()]
        note = ", INTERRUPTED before the rest" if self.interrupted else ""
        count = f"{len(self.modules)} modules on {self.examples} examples{note}"
        return "\n".join([*lines, f"{count}; {self.gradients:.3g} gradients"])

    def _describe_units(self) -> str:
        parts = []
        if self.units.any():
            dead, units = int(self.dead.sum()), int(self.units.sum())
            parts.append(f"{dead} of {units} rectified units dead on {self.examples} examples")
            if dead:
                parts[0] += f" (active on fewer than {self.rarest:.2%}, 95 %)"
        if np.isfinite(self.saturated).any():
            most = int(np.nanargmax(self.saturated))
            parts.append(f"saturated at most {self.saturated[most]:.1%} ({self.modules[most]})")
        return "; ".join(parts) or "no rectifier, sigmoid or tanh was seen"


def _logs(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
    return np.where(np.isfinite(logs), logs, np.nan)


def _growth(values: np.ndarray) -> Reading:
    """Exponential of the slope of a straight line through the logarithms, and its error to first order."""
    logs = _logs(values)
    depth = np.flatnonzero(np.isfinite(logs)).astype(float)
    logs = logs[np.isfinite(logs)]
    if len(logs) < 2:
        return Reading(math.nan, math.nan)
    depth -= depth.mean()
    slope = float(depth @ logs / (depth @ depth))
    if len(logs) < 3:
        return Reading(math.exp(slope), math.nan)
    rest = logs - logs.mean() - slope * depth
    error = math.sqrt(float(rest @ rest) / (len(logs) - 2) / float(depth @ depth))
    return Reading(math.exp(slope), math.exp(slope) * error)


def _show(reading: Reading) -> str:
    return f"{reading.value:.3g} ± {reading.error:.1g}"
