"""``series``: Taylor coefficients and partial sums of the log partition function along a line."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.colors import BLUE
from workbench.result import Result, new_axes
from workbench.stability.partition import make_partition

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class TaylorSeries(Result):
    r"""Taylor series of :math:`g(t) = \log \sum_k e^{z_k + t a_k}` of each sample at t = 0.

    Attributes
    ----------
    scaled : Tensor (samples, order + 1)
        Coefficients in :math:`s = \Delta t`, float64, without the term of the class below: :math:`g(t) =
        z_{top} + a_{top} t + \sum_n c_n (\Delta t)^n`.
    spread : Tensor (samples,)
        :math:`\Delta`, the largest less the smallest slope.
    top_logit, top_slope : Tensor (samples,)
        Of the likeliest class.
    logits, slopes : Tensor (samples, classes)
        What the series is of.
    """

    scaled: Tensor
    spread: Tensor
    top_logit: Tensor
    top_slope: Tensor
    logits: Tensor
    slopes: Tensor

    @property
    def order(self) -> int:
        """Of the last term."""
        return self.scaled.shape[1] - 1

    @property
    def coefficients(self) -> Tensor:
        """Coefficients (samples, order + 1) in t; they overflow where spread and order are large."""
        orders = torch.arange(self.order + 1, device=self.scaled.device)
        plain = self.scaled * self.spread[:, None] ** orders
        plain[:, 0] += self.top_logit
        if self.order:
            plain[:, 1] += self.top_slope
        return plain

    def partial_sums(self, t: Tensor) -> Tensor:
        """Sums of the first terms at distances t (points,): (samples, points, order + 1), by order."""
        s = self.spread[:, None] * t.to(self.scaled)
        powers = torch.cat([torch.ones_like(s)[..., None], s[..., None].expand(-1, -1, self.order)], dim=2)
        line = torch.zeros_like(powers)
        line += self.top_logit[:, None, None]
        line[..., 1:] += (self.top_slope[:, None] * t.to(self.scaled))[..., None]
        return line + (self.scaled[:, None] * powers.cumprod(2)).cumsum(2)

    def values(self, t: Tensor) -> Tensor:
        """Log partition functions (samples, points) themselves."""
        return (self.logits[:, None] + t.to(self.logits)[:, None] * self.slopes[:, None]).logsumexp(-1)

    def root_test(self) -> Tensor:
        r"""Estimates :math:`|c_n|^{-1/n}` (samples, order) of the radius in t, which their lower limit is."""
        orders = torch.arange(1, self.order + 1, device=self.scaled.device)
        return self.scaled[:, 1:].abs() ** (-1 / orders) / self.spread[:, None]

    def frame(self) -> pd.DataFrame:
        """One row per sample and order."""
        samples, orders = self.scaled.shape
        return pd.DataFrame(
            {
                "sample": np.repeat(np.arange(samples), orders),
                "order": np.tile(np.arange(orders), samples),
                "scaled": self.scaled.cpu().numpy().ravel(),
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Root test of the first sample against the order."""
        ax = new_axes(ax)
        ax.plot(range(1, self.order + 1), self.root_test()[0].cpu(), ".", color=BLUE)
        ax.set_yscale("log")
        ax.set_xlabel("order n")
        ax.set_ylabel(r"$|c_n|^{-1/n}$ (the radius, in the limit)")
        ax.set_title(self.summary(), fontsize="small")
        return ax

    def summary(self) -> str:
        """How many samples, and to which order."""
        return f"Taylor series of {len(self.spread)} log partition functions to order {self.order}"


def series(logits: Tensor, slopes: Tensor, order: int) -> TaylorSeries:
    r"""Taylor series of the log partition function of each sample along a line of logits z + t a.

    With the moments :math:`f_n = \sum_k p_k b_k^n / n!` of the normalised F, the coefficients of
    :math:`g' = F'/F` follow from :math:`g'_n = (n + 1) f_{n+1} - \sum_{j=1}^n f_j\, g'_{n-j}`.

    Parameters
    ----------
    logits, slopes : Tensor (samples, classes)
        As in :func:`logit_radius`, which says what is refused.
    order : int
        Of the last term, at least 1; to about 150 float64 holds what is computed.

    Returns
    -------
    TaylorSeries

    Raises
    ------
    ValueError
        If ``order`` is out of range.
    """
    check_count("order", order, low=1)
    partition = make_partition(logits, slopes)
    z, a = logits.detach().double(), slopes.detach().double()
    z_top, a_top = (values.gather(1, partition.top[:, None])[:, 0] for values in (z, a))
    term = partition.log_weights.softmax(1)
    moments = [term.sum(1)]
    for n in range(1, order + 1):
        term = term * partition.slopes / n
        moments.append(term.sum(1))
    derivative: list[Tensor] = []
    for n in range(order):
        products = [moments[j] * derivative[n - j] for j in range(1, n + 1)]
        derivative.append((n + 1) * moments[n + 1] - sum(products, torch.zeros_like(z_top)))
    scaled = [partition.log_weights.logsumexp(1), *(g / (n + 1) for n, g in enumerate(derivative))]
    return TaylorSeries(torch.stack(scaled, dim=1), partition.spread, z_top, a_top, z, a)
