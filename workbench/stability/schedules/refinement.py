"""``refine_schedule``: the schedule that the gradient norms of an earlier training ask for."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from workbench.choices import check_choice, check_number
from workbench.colors import BLUE, VERMILION
from workbench.result import Result, new_axes
from workbench.stability.schedules.online_weights import sums_after
from workbench.stability.schedules.schedulers import scheduler
from workbench.stability.schedules.shapes import shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POWERS = {"sgd": 2, "adam": 1}  # of the norm that a weight is the inverse of


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class RefinedSchedule(Result):
    """A schedule of T steps, made from T gradient norms.

    Attributes
    ----------
    rates : ndarray (T,)
        Factors of the learning rate, 1 at the largest; the last is 0.
    norms, smoothed : ndarray (T,)
        As given, and after the median filter.
    optimizer : str
        ``"sgd"`` or ``"adam"``.
    smoothing : float
        Width of the filter as a part of the steps.
    """

    rates: np.ndarray
    norms: np.ndarray
    smoothed: np.ndarray
    optimizer: str
    smoothing: float

    @property
    def peak(self) -> float:
        """Where the largest rate stands, as a part of the steps: above 0 there is a warm-up."""
        return float(self.rates.argmax() / (len(self.rates) - 1))

    @property
    def distance_to_linear(self) -> float:
        """Largest difference of its rates to those of linear decay."""
        return float(np.abs(self.rates - shape("linear", len(self.rates))).max())

    def scheduler(self, optimizer: Optimizer) -> LambdaLR:
        """Return a torch scheduler for a training of T steps, to be stepped after each of them.

        The optimizer's own rate is the largest of the schedule.
        """
        return scheduler(optimizer, self.rates)

    def frame(self) -> pd.DataFrame:
        """One row per step."""
        steps = np.arange(1, len(self.rates) + 1)
        return pd.DataFrame(
            {"step": steps, "norm": self.norms, "smoothed": self.smoothed, "rate": self.rates}
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the rates against the step, beside linear decay; behind them the norms over their largest."""
        ax = new_axes(ax)
        steps = np.arange(1, len(self.rates) + 1)
        top = self.smoothed.max()
        ax.plot(steps, np.minimum(self.norms / top, 1.5), color="0.8", linewidth=0.6, label="norm")
        ax.plot(steps, self.smoothed / top, color="0.45", linewidth=1, label="norm, smoothed")
        ax.plot(steps, shape("linear", len(steps)), "--", color=BLUE, label="linear decay")
        ax.plot(steps, self.rates, color=VERMILION, label="refined")
        ax.set_xlabel("step")
        ax.set_ylabel("rate / largest rate, norm / largest norm")
        ax.set_title(self.summary(), fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Where it is largest, and how far it is from linear decay."""
        return (
            f"{len(self.rates)} steps of {self.optimizer}: largest rate after {self.peak:.1%} of them, "
            f"at most {self.distance_to_linear:.2f} from linear decay"
        )


def refine_schedule(
    gradient_norms: Sequence[float] | np.ndarray, optimizer: str = "sgd", *, smoothing: float = 0.1
) -> RefinedSchedule:
    r"""Make the schedule that is best for the gradient norms of an earlier training.

    With weights :math:`w_t`, step sizes :math:`\eta_t = w_t \sum_{p>t} w_p / \sum_p w_p` have the bound

    .. math:: f(x_T) - f_* \le \frac{D^2 + \sum_t w_t^2 \lVert g_t \rVert^2}{2 \sum_t w_t}

    on a convex function, D being the distance of the start to a minimum. For known norms it is least at
    :math:`w_t \propto \lVert g_t \rVert^{-2}`, and then :math:`D / \sqrt{\sum_t \lVert g_t \rVert^{-2}}`; for
    equal norms the step sizes are those of linear decay.

    Parameters
    ----------
    gradient_norms : sequence of float (T,)
        Of the minibatch gradients of a training of T steps: Euclidean norms for SGD, sums of the absolute
        values for Adam. Their scale does not matter.
    optimizer : {"sgd", "adam"}
        Weights :math:`\lVert g_t \rVert_2^{-2}`, or :math:`\lVert g_t \rVert_1^{-1}`: Adam divides by the
        scale of the gradient by itself, once.
    smoothing : float
        Width of the median filter over the norms as a part of T, from 0 (none) to below 1. The window is
        cut at no end: before the start the first norm is repeated, after the end the norms are reflected.

    Raises
    ------
    TypeError, ValueError
        If the norms are not at least 2 positive numbers, or another argument is out of range.

    Notes
    -----
    Cost: one training before the one that it is for, whose norms come along with its gradients.
    Source: Defazio, Cutkosky, Mehta, Mishchenko, "Optimal linear decay learning rate schedules and further
    refinements", arXiv 2310.07831: the step sizes and the filter. The bound is derived anew at
    :func:`~workbench.stability.schedules.bound_of_weights`, and what is said of Adam is our argument.
    """
    check_choice("optimizer", optimizer, list(POWERS))
    check_number("smoothing", smoothing, low=0, below=1)
    norms = np.asarray(gradient_norms, dtype=float)
    if norms.ndim != 1 or len(norms) < 2:
        raise ValueError(
            f"gradient_norms has the shape {norms.shape}: it must be at least 2 norms, one a step"
        )
    if not (np.isfinite(norms) & (norms > 0)).all():
        step = int(np.argmin(np.isfinite(norms) & (norms > 0)))
        raise ValueError(
            f"gradient_norms[{step}]={norms[step]} is out of range: it must be positive and finite"
        )
    smoothed = _medians(norms, 2 * (int(smoothing * len(norms)) // 2) + 1)
    weights = (smoothed.min() / smoothed) ** POWERS[optimizer]  # at most 1, of any scale of the norms
    rates = weights * sums_after(weights)
    return RefinedSchedule(rates / rates.max(), norms, smoothed, optimizer, float(smoothing))


def _medians(values: np.ndarray, width: int) -> np.ndarray:
    """Median of the window around each value, of an odd width below the number of values."""
    half = width // 2
    before, after = np.full(half, values[0]), np.pad(values, (0, half), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, after]), 2 * half + 1)
    return np.median(windows, axis=-1)
