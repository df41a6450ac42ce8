"""``Trajectory``: the top of the spectrum at the checkpoints of a training."""

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature.pairs import Eigenpairs
from workbench.result import Estimate, Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class Trajectory(Result):
    r"""The k largest eigenpairs at each checkpoint of a training, and how the spaces they span turn.

    The overlap of two such spaces with orthonormal bases V and W is :math:`\|V^\top W\|_F^2 / k`: 1 for the
    same space, 0 for orthogonal ones, and k / n on average for random ones.

    Attributes
    ----------
    labels : tuple of str
        One for each checkpoint, in the order given; so are all that follow.
    pairs : tuple of Eigenpairs
        k pairs each. Their products are in ``matvecs``, those for one pair more included.
    loss : ndarray (m,)
        Loss over the data.
    traces : tuple of Estimate
        Of the trace; empty if none was asked for.
    overlap_previous, overlap_last : ndarray (m,)
        Overlap with the checkpoint before (nan at the first) and with the last one.
    overlap_previous_error, overlap_last_error : ndarray (m,)
        Bounds on what the residuals may have changed them by; at most 1, which says that nothing is known.
    matrix : str
        ``"hessian"`` or ``"ggn"``.
    terms : str
        What the matrix is made of, e.g. ``"loss"``.
    interrupted : bool
        Whether there are fewer checkpoints than asked for because the computation was stopped.
    """

    labels: tuple[str, ...]
    pairs: tuple[Eigenpairs, ...]
    loss: np.ndarray
    traces: tuple[Estimate, ...]
    overlap_previous: np.ndarray
    overlap_previous_error: np.ndarray
    overlap_last: np.ndarray
    overlap_last_error: np.ndarray
    matrix: str
    terms: str
    interrupted: bool = False

    @property
    def position(self) -> np.ndarray:
        """Where the checkpoints stand on an axis: at their labels if these are ascending numbers."""
        try:
            numbers = [float(label) for label in self.labels]
        except ValueError:
            numbers = []
        ascending = all(a < b for a, b in itertools.pairwise(numbers)) and all(map(math.isfinite, numbers))
        return np.array(numbers if numbers and ascending else range(len(self.labels)), dtype=float)

    @property
    def matvecs(self) -> np.ndarray:
        """Products (m,) that each checkpoint took, those of its trace included."""
        counts = np.array([pairs.matvecs for pairs in self.pairs])
        return counts + (np.array([trace.matvecs for trace in self.traces]) if self.traces else 0)

    def frame(self) -> pd.DataFrame:
        """One row per checkpoint and eigenpair."""
        tables = [
            pairs.frame().assign(position=position, checkpoint=label)
            for pairs, position, label in zip(self.pairs, self.position, self.labels, strict=True)
        ]
        columns = ["position", "checkpoint", "index", "eigenvalue", "residual", "converged"]
        return pd.concat(tables, ignore_index=True)[columns]

    def checkpoint_frame(self) -> pd.DataFrame:
        """One row per checkpoint."""
        columns = {
            "position": self.position,
            "checkpoint": self.labels,
            "loss": self.loss,
            "overlap_previous": self.overlap_previous,
            "overlap_previous_error": self.overlap_previous_error,
            "overlap_last": self.overlap_last,
            "overlap_last_error": self.overlap_last_error,
            "matvecs": self.matvecs,
        }
        if self.traces:
            columns["trace"] = [trace.value for trace in self.traces]
            columns["trace_stderr"] = [trace.stderr for trace in self.traces]
        return pd.DataFrame(columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the eigenvalues over the checkpoints, ± residual norm; unconverged ones hollow and orange."""
        ax = new_axes(ax)
        frame = self.frame()
        count = len(self.pairs[0].values)
        for index in range(1, count + 1):
            part = frame[frame["index"] == index]
            strength = 1 - 0.7 * (index - 1) / count
            label = "eigenvalues, the largest darkest, ± residual norm" if index == 1 else None
            ax.errorbar(part["position"], part["eigenvalue"], yerr=part["residual"], color=BLUE,
                        alpha=strength, marker=".", capsize=3, label=label)  # fmt: skip
        missed = frame[~frame["converged"]]
        if len(missed):
            ax.plot(missed["position"], missed["eigenvalue"], "X", color=VERMILION, linestyle="",
                    markerfacecolor="white", label="NOT converged")  # fmt: skip
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_ylabel(f"eigenvalue ({self.matrix} of {self.terms})")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return self._finish(ax)

    def plot_overlap(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the overlaps with the checkpoint before and with the last one, with their error bounds."""
        ax = new_axes(ax)
        for values, errors, color, label in (
            (self.overlap_previous, self.overlap_previous_error, BLUE, "with the checkpoint before"),
            (self.overlap_last, self.overlap_last_error, GREEN, "with the last checkpoint"),
        ):
            ends = np.stack([np.minimum(errors, values), np.minimum(errors, 1 - values).clip(min=0)])
            ax.errorbar(self.position, values, yerr=ends, color=color, marker=".", capsize=3, label=label)
        n, k = self.pairs[0].vectors.shape
        ax.axhline(k / n, color="0.4", linestyle=":", linewidth=1, label="of random spaces")
        ax.set_ylim(-0.03, 1.05)
        ax.set_ylabel(f"overlap of the top {k} eigenvectors")
        return self._finish(ax)

    def summary(self) -> str:
        """Largest eigenvalue and loss at both ends, the overlaps, what did not converge, and the cost."""
        first, last = self.pairs[0], self.pairs[-1]
        k = len(first.values)
        missed = sum(int((~pairs.converged).sum()) for pairs in self.pairs)
        state = f"{missed} of {k * len(self.pairs)} NOT CONVERGED" if missed else "all converged"
        if self.interrupted:
            state += ", interrupted"
        lines = [
            f"{len(self.labels)} checkpoints, top {k} eigenpairs each, {state}",
            f"largest eigenvalue {first.values[0]:.5g} ± {first.residuals[0]:.1g} at {self.labels[0]}, "
            f"{last.values[0]:.5g} ± {last.residuals[0]:.1g} at {self.labels[-1]}; "
            f"loss {self.loss[0]:.4g}, {self.loss[-1]:.4g}",
        ]
        if len(self.labels) > 1:
            low = int(np.nanargmin(self.overlap_previous))
            lines.append(
                f"overlap with the checkpoint before at least {self.overlap_previous[low]:.3f} ± "
                f"{self.overlap_previous_error[low]:.1g} (at {self.labels[low]}); of first and last "
                f"{self.overlap_last[0]:.3f} ± {self.overlap_last_error[0]:.1g}"
            )
        lines.append(f"{self.matvecs.sum()} products with the {self.matrix}, of: {self.terms}")
        return "\n".join(lines)

    def _finish(self, ax: "Axes") -> "Axes":
        """Name the checkpoints, if they are few or no numbers."""
        position = self.position
        if len(position) <= 12:
            ax.set_xticks(position, self.labels, fontsize="small")
            ax.tick_params(axis="x", rotation=30 if max(map(len, self.labels)) > 4 else 0)
        ax.set_xlabel("checkpoint")
        ax.legend(fontsize="small")
        return ax
