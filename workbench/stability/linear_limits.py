"""``LinearStability``: the largest learning rates that a minimum allows, over the batch size."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ERRORS = 3  # by which a limit must be passed to count


class Condition(NamedTuple):
    """What a limit on the learning rate means.

    Attributes
    ----------
    label : str
        For pictures.
    kind : str
        ``"exact"``: stable below, unstable above. ``"necessary"``: unstable above. ``"sufficient"``: stable
        below. ``"batch size 1"``: necessary there, and says nothing of other batches.
    when : str
        When it holds.
    color, line : str
        In pictures.
    """

    label: str
    kind: str
    when: str
    color: str
    line: str


CONDITIONS: dict[str, Condition] = {
    "exact": Condition(
        "exact, mean square", "exact", "every batch size; examples drawn anew at each step", BLUE, "-"
    ),
    "sufficient": Condition(
        "stable below this", "sufficient", "every batch size, by its steepest example", GREEN, "--"
    ),
    "noise": Condition(
        "trace against ‖H‖² and the examples' ‖Hᵢ‖²", "necessary", "every batch size", VERMILION, "-"
    ),
    "eigenvector": Condition(
        "noise along the top eigenvector", "necessary", "every batch size", ORANGE, "-"
    ),
    "trace": Condition(
        "trace and ‖H‖, batch size counted", "necessary", "every batch size", SKY, "--"
    ),
    "frobenius": Condition(
        "‖H‖ with the measured alignment", "necessary", "every batch size", SKY, ":"
    ),
    "gradient_descent": Condition(
        "gradient descent, 2/λ", "necessary", "every batch size; exact for the whole batch", "0.4", "--"
    ),
    "bare_trace": Condition(
        "2/tr H, true at batch size 1 only", "batch size 1", "batch size 1 alone", VERMILION, ":"
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class LinearStability(Result):
    r"""Limits on the learning rate for SGD to stay at a minimum, for s batch sizes.

    With the curvatures :math:`H_i` of n examples, their mean H, and p the weight of single examples in the
    noise of a batch (:func:`~.mean_square.sampling_weight`), the limits are

    - ``exact``: :math:`2 / \lambda_{\max}(C^+ D)` (Mulayoff and Michaeli), see
      :meth:`~.mean_square.ExampleHessians.threshold`;
    - ``sufficient``: :math:`2 / ((1-p)\lambda + p \max_i \lambda_{\max}(H_i))` (derived here:
      :math:`H_i^2 \preceq \max_j \lambda_{\max}(H_j)\, H_i`, so the mean square distance never grows);
    - ``noise``: :math:`2\,\mathrm{tr} H / ((1-p)\lVert H\rVert_F^2 + \frac pn \sum_i \lVert H_i\rVert_F^2)`;
    - ``eigenvector``: :math:`2\lambda / (\lambda^2 + \frac pn \sum_i (v^\top H_i v - \lambda)^2)`;
    - ``trace``: ``noise`` with :math:`\lVert H_i\rVert_F^2 \ge (\mathrm{tr} H_i)^2 / c` and Jensen's
      inequality, :math:`2\,\mathrm{tr} H / ((1-p)\lVert H\rVert_F^2 + p\,(\mathrm{tr} H)^2 / c)`;
    - ``frobenius``: :math:`1 / (\lVert H\rVert_F \sqrt{p\,\mu_0})` (Wu, Wang and Su) with the smallest
      alignment :math:`\mu_0` over all directions, measured;
    - ``gradient_descent``: :math:`2/\lambda`;
    - ``bare_trace``: :math:`2c/\mathrm{tr} H` (Wu and Su for c = 1), what ``trace`` is at batch size 1.
      Larger batches stay stable beyond it.

    Attributes
    ----------
    learning_rate : float
        The one that was asked about.
    batch_sizes : ndarray (s,) of int
        Ascending.
    limits, errors : dict of str to ndarray (s,)
        Largest learning rates by condition, and what they may be off by: of ``exact`` a bound, of what
        depends on a sampled Frobenius norm or on the largest eigenvalue its error to first order. nan where a
        condition was not computed, because the examples' gradients do not fit.
    examples, outputs : int
        n, and c of each example, the rank of its curvature at most.
    replacement : bool
        Whether batches are drawn with replacement.
    loss, tolerance : float
        Loss at this point, and the loss up to which it counts as interpolating.
    quadratic : bool
        Whether the loss is a quadratic function of the outputs.
    trace : float
        tr H.
    frobenius, frobenius_error : float
        Frobenius norm of H and its standard error (0 if exact).
    example_frobenius : float
        Root of the mean of :math:`\lVert H_i\rVert_F^2`.
    largest, largest_error : float
        :math:`\lambda`, and its residual norm.
    alignment, typical_alignment : float
        Of the gradient noise with the curvature: the smallest over all directions, and the one of isotropic
        ones; nan if not computed.
    rank : int
        Of H; -1 if not computed.
    matvecs : int
        Products with the Gauss-Newton matrix of all examples, beside one forward and c backward passes over
        the data, example by example.
    left_out : tuple of str
        Weight decay and regularizer of the problem, which the theory does not have.
    """

    learning_rate: float
    batch_sizes: np.ndarray
    limits: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    examples: int
    outputs: int
    replacement: bool
    loss: float
    tolerance: float
    quadratic: bool
    trace: float
    frobenius: float
    frobenius_error: float
    example_frobenius: float
    largest: float
    largest_error: float
    alignment: float
    typical_alignment: float
    rank: int
    matvecs: int
    left_out: tuple[str, ...] = ()

    @property
    def interpolates(self) -> bool:
        """Whether the loss is small enough for the theory, which is of minima that fit every example."""
        return self.loss <= self.tolerance

    @property
    def verdicts(self) -> list[str]:
        """``"stable"``, ``"unstable"`` or ``"undecided"`` at the learning rate asked about, by batch size.

        A limit counts where it is passed by three of its errors: those of sampled norms are standard errors,
        and no bounds. ``"undecided"`` is what lies between the sufficient and the necessary conditions where
        the exact one was not computed, or too near to the exact one.
        """
        eta = self.learning_rate
        found = []
        for place in range(len(self.batch_sizes)):
            limit = {name: values[place] for name, values in self.limits.items()}
            error = {name: _ERRORS * values[place] for name, values in self.errors.items()}
            necessary = [name for name, each in CONDITIONS.items() if each.kind in ("exact", "necessary")]
            if any(eta <= limit[name] - error[name] for name in ("exact", "sufficient")):
                found.append("stable")
            elif any(eta > limit[name] + error[name] for name in necessary):
                found.append("unstable")
            else:
                found.append("undecided")
        return found

    def frame(self) -> pd.DataFrame:
        """One row per batch size and condition; ``limit`` is a learning rate."""
        rows = [
            {
                "batch_size": int(size),
                "condition": name,
                "kind": each.kind,
                "limit": self.limits[name][place],
                "error": self.errors[name][place],
                "within": bool(self.learning_rate <= self.limits[name][place]),
                "holds": each.when,
                "interpolates": self.interpolates,
            }
            for place, size in enumerate(self.batch_sizes)
            for name, each in CONDITIONS.items()
            if np.isfinite(self.limits[name][place])
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the limits against the batch size, and the learning rate that was asked about."""
        ax = new_axes(ax)
        for name, each in CONDITIONS.items():
            limit = self.limits[name]
            if not np.isfinite(limit).any():
                continue
            width = 2.2 if each.kind == "exact" else 1.3
            (line,) = ax.plot(self.batch_sizes, limit, each.line, color=each.color, marker=".")
            line.set(linewidth=width, label=each.label)
        ax.axhline(self.learning_rate, color="black", linewidth=0.8, label="the learning rate asked about")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(self.batch_sizes, [str(size) for size in self.batch_sizes])
        ax.minorticks_off()
        ax.set_xlabel("batch size (examples)")
        ax.set_ylabel("largest stable learning rate")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="x-small")
        return ax

    def summary(self) -> str:
        """Verdicts, the curvature they rest on, how far the theory applies, and the cost."""
        verdicts = ", ".join(
            f"{size}: {verdict}" for size, verdict in zip(self.batch_sizes, self.verdicts, strict=True)
        )
        lines = [f"learning rate {self.learning_rate:.4g} by batch size: {verdicts}"]
        if not self.interpolates:
            lines.append(
                f"DOES NOT INTERPOLATE: loss {self.loss:.3g} is above {self.tolerance:.3g}, so SGD does not "
                "rest here and the limits are those of the Gauss-Newton matrix alone"
            )
        if not self.quadratic:
            lines.append(
                "NOT A SQUARED ERROR: the curvature changes with the outputs, and there may be no minimum "
                "to rest at"
            )
        if self.left_out:
            lines.append(
                f"WITHOUT {' AND '.join(self.left_out)}: the limits are of the loss of the examples alone"
            )
        sampled = f" ± {self.frobenius_error:.1g}" if self.frobenius_error else ""
        lines.append(
            f"loss {self.loss:.3g}, tr H = {self.trace:.4g}, ‖H‖ = {self.frobenius:.4g}{sampled}, "
            f"λ = {self.largest:.4g} ± {self.largest_error:.1g}"
        )
        if np.isfinite(self.alignment):
            lines.append(
                f"noise aligned with the curvature: at least {self.alignment:.3g}, typically "
                f"{self.typical_alignment:.3g}; rank {self.rank}"
            )
        how = "with" if self.replacement else "without"
        lines.append(
            f"{self.examples} examples of {self.outputs} outputs, batches drawn {how} replacement; cost "
            f"{self.outputs} backward passes of each example, {self.matvecs} products"
        )
        return "\n".join(lines)
