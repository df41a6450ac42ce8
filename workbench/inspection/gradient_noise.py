"""``GradientStatistics``: how long the gradient is, how noisy, and how far batches agree about it."""

import dataclasses
import math
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.inspection.layer_axis import layer_axis, log_axis
from workbench.inspection.pair_shares import pair_mean, share_interval
from workbench.moment import Reading
from workbench.noise_scales import noise_scale_of
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNKNOWN = Reading(math.nan, math.nan)

_DECADE = 10.0


class GradientPart(NamedTuple):
    r"""What is known of the gradient of the whole network, or of one layer's part of it.

    Each but the norm is a value with its standard error over the minibatches, for these data.

    Attributes
    ----------
    norm : float
        :math:`|g|`, of the gradient over all the data; exact up to rounding.
    noise : Reading
        :math:`\mathrm{tr}\,\Sigma`, the variance of the gradients of single examples.
    noise_scale : Reading
        :math:`\mathrm{tr}\,\Sigma / |G|^2` with :math:`|G|^2 = |g|^2 - \mathrm{tr}\,\Sigma / N`, see
        :func:`~workbench.noise_scales.noise_scale`; inf where no signal stands out of the noise.
    signal_to_noise : Reading
        :math:`|g|^2 / (\mathrm{tr}\,\Sigma / B)`: the squared length of the gradient over the variance of
        that of a minibatch of B examples. 1 where both are alike; N examples of pure noise show B / N.
    conflicts : Reading
        Share of the pairs of minibatches whose gradients have a negative inner product: a step along one of
        them raises the loss of the other.
    mean_cosine : Reading
        Mean cosine of the angle between two of their gradients.
    """

    norm: float
    noise: Reading
    noise_scale: Reading
    signal_to_noise: Reading
    conflicts: Reading
    mean_cosine: Reading


@dataclasses.dataclass(frozen=True, repr=False)
class GradientStatistics(Result):
    """The gradients of random minibatches beside that over all the data, layer by layer.

    Attributes
    ----------
    layers : tuple of str
        Modules with selected parameters of their own, in the model's order.
    parameters : ndarray (L,)
        Selected parameters of each.
    grams : ndarray (L, m + 1, m + 1)
        Inner products of each layer's part of the m minibatch gradients, and, last, of the gradient over all
        the data. Of a loss that adds up, minibatch gradients are scaled up to all the data.
    batch_size : float
        Examples of a minibatch, B; their mean if they differ.
    spreads : ndarray (m,)
        Expected squared distance of each minibatch's gradient to that over all the data, for a noise of 1:
        1 / B - 1 / N of those drawn. Of the problem's own batches, of B_i examples and with a share w_i in
        the whole, (1 - 2 w_i) / B_i + the sum of all w_j² / B_j (derived here), which is 1 / B_i - 1 / N
        where w_i = B_i / N. Each minibatch's distance over its spread counts alike in the noise.
    examples : int
        Examples of the data, N.
    sampling : str
        ``"drawn"``: each minibatch at random, without replacement within itself; or ``"own"``: the problem's
        own batches.
    gradients : float
        What it cost, in gradients over all the data.
    left_out : dict of str to str
        What is not there, or not as it should be, and why.
    interrupted : bool
        Whether there are fewer minibatches than asked for because the computation was stopped.
    """

    layers: tuple[str, ...]
    parameters: np.ndarray
    grams: np.ndarray
    batch_size: float
    spreads: np.ndarray
    examples: int
    sampling: str
    gradients: float
    left_out: dict[str, str]
    interrupted: bool = False

    @property
    def batches(self) -> int:
        """Minibatches, m."""
        return self.grams.shape[1] - 1

    @cached_property
    def whole(self) -> GradientPart:
        """Of the whole network."""
        return self._describe(self.grams.sum(axis=0))

    @cached_property
    def by_layer(self) -> tuple[GradientPart, ...]:
        """Of each layer."""
        return tuple(map(self._describe, self.grams))

    @property
    def conflict_interval(self) -> tuple[float, float]:
        """95 % interval of the share of conflicting pairs of the whole network."""
        return share_interval(self.whole.conflicts, self.batches)

    @property
    def cosines(self) -> np.ndarray:
        """Cosines (m, m) of the angles between the minibatch gradients of the whole network."""
        return _cosines(self.grams.sum(axis=0)[:-1, :-1])

    @property
    def noise_floor(self) -> float:
        """Signal to noise, B / N, that the data would show if their gradient were nothing but noise."""
        return self.batch_size / self.examples

    def frame(self) -> pd.DataFrame:
        """One row per layer; a number, then its standard error."""
        rows = []
        for layer, count, part in zip(self.layers, self.parameters, self.by_layer, strict=True):
            row = {"layer": layer, "parameters": int(count), "norm": part.norm}
            for name, reading in part._asdict().items():
                if isinstance(reading, Reading):
                    row |= {name: reading.value, f"{name}_stderr": reading.error}
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Signal to noise of each layer ± standard error, beside that of the whole and of pure noise."""
        ax = new_axes(ax)
        frame = self.frame()
        places = layer_axis(ax, self.layers)
        ratio = frame["signal_to_noise"]
        ax.errorbar(ratio, places, xerr=frame["signal_to_noise_stderr"], fmt="o", color=BLUE, capsize=3,
                    label="layer ± standard error")  # fmt: skip
        whole = self.whole.signal_to_noise.value
        if math.isfinite(whole):
            ax.axvline(whole, color=VERMILION, linestyle="--", label=f"whole network {whole:.3g}")
            ax.axvline(self.noise_floor, color="0.4", linestyle=":", label="pure noise (B / N)")
        positive = ratio[ratio > 0]
        if len(positive) and positive.max() > _DECADE * min(positive.min(), self.noise_floor):
            log_axis(ax)
        ax.set_xlabel(f"signal to noise of a gradient of {self.batch_size:.4g} examples")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def plot_cosines(self, ax: "Axes | None" = None) -> "Axes":
        """Histogram of the cosines of all pairs of minibatch gradients; conflicting ones in orange."""
        ax = new_axes(ax)
        cosines = self.cosines[np.triu_indices(self.batches, 1)]
        edges = np.linspace(-1, 1, 41).tolist()
        ax.hist(cosines[cosines >= 0], edges, color=BLUE, label="agree")
        ax.hist(cosines[cosines < 0], edges, color=VERMILION, label="conflict")
        if len(cosines):
            ax.axvline(float(cosines.mean()), color=GREEN, linestyle="--", label=f"mean {cosines.mean():.3g}")
        ax.set_xlabel("cosine of the angle between two minibatch gradients")
        ax.set_ylabel("pairs")
        ax.set_title(self._describe_conflicts(), fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Norm, noise scale, signal to noise, conflicts, what is left out, and the cost."""
        whole = self.whole
        lines = [f"gradient of norm {whole.norm:.4g}"]
        if self.batches >= 2:
            ratio = _show(whole.signal_to_noise)
            lines[0] += f", signal to noise {ratio} at {self.batch_size:.4g} examples"
            lines.append(f"noise scale {_show(whole.noise_scale)} examples, tr Σ {_show(whole.noise)}")
            lines.append(self._describe_conflicts())
        lines += [f"{what}: {reason}" for what, reason in self.left_out.items()]
        how = "drawn at random" if self.sampling == "drawn" else "the problem's own"
        note = ", INTERRUPTED before the rest" if self.interrupted else ""
        lines.append(f"{self.batches} minibatches, {how}{note}; {self.gradients:.3g} gradients")
        return "\n".join(lines)

    def _describe_conflicts(self) -> str:
        if self.batches < 2:
            return "no pair of minibatches"
        low, high = self.conflict_interval
        return (
            f"{self.whole.conflicts.value:.1%} of the pairs conflict (95 %: {low:.1%} to {high:.1%}), "
            f"mean cosine {_show(self.whole.mean_cosine)}"
        )

    def _describe(self, gram: np.ndarray) -> GradientPart:
        """All that follows from the inner products of minibatch gradients and, last, the whole gradient."""
        square = max(float(gram[-1, -1]), 0.0)
        norm = math.sqrt(square)
        if self.batches < 2 or not np.diag(gram).any() or not np.isfinite(gram).all():
            return GradientPart(norm, *[_UNKNOWN] * 5)
        among = gram[:-1, :-1]
        distances = np.maximum(np.diag(among) - 2 * gram[:-1, -1] + square, 0)
        found = noise_scale_of(distances / self.spreads, square, self.examples, self.sampling == "own")
        noise, error = found["noise"]
        ratio = self.batch_size * square / noise if noise > 0 else math.inf
        return GradientPart(
            norm=norm,
            noise=found["noise"],
            noise_scale=found[""],
            signal_to_noise=Reading(ratio, ratio * error / noise if noise > 0 else math.nan),
            conflicts=pair_mean((among < 0).astype(float)),
            mean_cosine=pair_mean(_cosines(among)),
        )


def _cosines(gram: np.ndarray) -> np.ndarray:
    """Cosines of the angles between vectors with these inner products (m, m); 0 beside a vector of zeros."""
    lengths = np.sqrt(np.diag(gram))
    products = np.outer(lengths, lengths)
    return np.divide(gram, products, out=np.zeros_like(gram), where=products != 0)


def _show(reading: Reading) -> str:
    return f"{reading.value:.3g} ± {reading.error:.1g}"
