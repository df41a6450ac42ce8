"""``layer_radii``: which layer's complex singularity is the nearest along a direction."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_count
from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.stability.forward_mode import forward_mode, one_tensor, split_dual
from workbench.stability.layer_observer import Observer
from workbench.stability.problem_radius import read_direction
from workbench.stability.radii import logit_radius
from workbench.stability.singularities import NOT_ANALYTIC
from workbench.stability.slopes import rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUANTILE = 0.01


@dataclasses.dataclass(frozen=True, repr=False)
class LayerRadii(Result):
    """Distance of the nearest singularity of each layer, linearised and not certified.

    Attributes
    ----------
    layers, kinds : tuple of str
        Name of the module, and what has the singularity; in the order of the forward pass, the output last.
    least : ndarray (layers,)
        Least distance over all units and examples; inf if there is none.
    quantile : ndarray (layers,)
        The distance that a hundredth of them does not exceed.
    units : ndarray (layers,) of int
        How many distances were looked at.
    step : float
        Length of the vector given.
    direction : str
        What it is.
    batches : int
        Batches read, one forward-mode pass each.
    interrupted : bool
        Whether there are more batches that were not read.
    not_looked_at : tuple of str
        Classes of modules that were called, of which no singularity is known here: it may be nearer.
    """

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    least: np.ndarray
    quantile: np.ndarray
    units: np.ndarray
    step: float
    direction: str
    batches: int
    interrupted: bool = False
    not_looked_at: tuple[str, ...] = ()

    @property
    def analytic(self) -> np.ndarray:
        """Whether each layer is analytic; where not, the distance is that of its kink."""
        return np.array([kind not in NOT_ANALYTIC for kind in self.kinds], dtype=bool)

    @property
    def binding(self) -> int:
        """Which layer has the nearest singularity; kinks do not count unless there is nothing else."""
        candidates = self.least if not self.analytic.any() else np.where(self.analytic, self.least, np.inf)
        return int(candidates.argmin())

    def frame(self) -> pd.DataFrame:
        """One row per layer."""
        return pd.DataFrame(
            {
                "layer": self.layers,
                "kind": self.kinds,
                "least": self.least,
                "quantile_0.01": self.quantile,
                "units": self.units,
                "analytic": self.analytic,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Layers sorted by their least distance, the nearest on top, with the step."""
        from matplotlib.ticker import LogLocator, NullFormatter

        ax = new_axes(ax)
        order = [i for i in np.argsort(-self.least, kind="stable") if np.isfinite(self.least[i])]
        colors = [BLUE if self.analytic[i] else ORANGE for i in order]
        ax.barh(range(len(order)), self.least[order], color=colors)
        ax.plot(self.quantile[order], range(len(order)), "|", color="black", label="0.01 quantile")
        ax.axvline(self.step, color=VERMILION, label=f"step {self.step:.3g}")
        ax.set_yticks(range(len(order)), [self._label(i) for i in order], fontsize="small")
        if order:
            ax.set_xscale("log")
            low, high = ax.get_xlim()
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())  # labels of these overlap
        ax.set_xlabel(f"distance of the nearest singularity along the {self.direction}")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Which layer binds, what is not analytic, what was not looked at, and the cost."""
        nearest = self.binding
        lines = [
            f"{self._label(nearest)} binds at {self.least[nearest]:.4g} along the {self.direction} "
            "(linearised, not certified)"
        ]
        kinks = int((~self.analytic).sum())
        if kinks:
            lines.append(f"{kinks} layers are not analytic: their distance is that of the nearest kink")
        if self.not_looked_at:
            lines.append(f"not looked at: {', '.join(self.not_looked_at)}")
        note = ", INTERRUPTED before the rest" if self.interrupted else ""
        lines.append(f"{self.batches} forward-mode passes over a batch{note}")
        return "\n".join(lines)

    def _label(self, index: int) -> str:
        name = self.layers[index]
        return f"{name} ({self.kinds[index]})" if name else self.kinds[index]


def layer_radii(problem: Problem, direction: Any, *, batches: int | None = None, seed: int = 0) -> LayerRadii:
    r"""Distance of the nearest complex singularity of each layer along a direction.

    The inputs of each layer are linearised, :math:`h + t h'`. Looked at are poles and branch points of
    sigmoid, SiLU, softplus, tanh and the tanh form of GELU; zeros of the variance (LayerNorm) or mean square
    (RMSNorm) plus :math:`\varepsilon`, at :math:`\sqrt{(\mathrm{Var}\,h + \varepsilon) / \mathrm{Var}\,h'}`;
    of attention and other softmaxes, and of the output, the bound :math:`\pi / \Delta` of their scores. ReLU
    and LeakyReLU are not analytic: theirs is the distance of the kink. The exact GELU is entire. Other
    modules are not looked at, and the result names their classes, unless they are polynomials as linear
    layers are. Nor are, without being named, other functions that a module calls beside these or modules of
    its own, and softplus' straight part above its threshold.

    Parameters
    ----------
    problem : Problem
        Its loss is a cross entropy of logits, see :func:`logits_and_slopes`.
    direction : Optimizer, {"gradient", "random"}, Eigenpairs or Tensor (n,)
        As in :func:`taylor_radius`; distances are along its unit vector.
    batches : int, optional
        Read only the first so many; by default all the data.
    seed : int
        Of the random direction.

    Returns
    -------
    LayerRadii
        An interrupt (Ctrl-C) returns what is known of the batches so far.

    Raises
    ------
    ValueError
        If the direction does not fit, the loss has no logits, or a layer has no forward-mode derivative.

    Notes
    -----
    Cost: one forward-mode pass over the data. Source for scalar activations: Sao, "Ghosts of softmax",
    arXiv:2603.13552, App. 2; for LayerNorm, RMSNorm and the tanh form of GELU derived here.
    """
    if batches is not None:
        check_count("batches", batches)
    vector, label, step = read_direction(problem, direction, seed)
    rows = rows_of(problem)
    found: dict[tuple[str, str], list[torch.Tensor]] = {}
    overlooked: set[str] = set()
    read, interrupted = 0, False
    total = problem.num_batches if batches is None else min(batches, problem.num_batches)
    try:
        with progress("layer radii", total) as advance:
            for batch, _ in problem.batches():
                observer = Observer()
                try:
                    with (
                        forward_mode(problem, vector / step) as parameters,
                        observer.naming(problem.model),
                        observer,
                    ):
                        outputs, tangents = split_dual(one_tensor(problem.outputs(parameters, batch)))
                except NotImplementedError as error:
                    reason = str(error).splitlines()[0]
                    raise ValueError(f"a layer has no forward-mode derivative: {reason}") from error
                for key, parts in observer.distances.items():
                    found.setdefault(key, []).extend(parts)
                overlooked |= observer.not_looked_at()
                targets = problem.batch_targets(batch)
                output = logit_radius(rows(outputs, targets), rows(tangents, targets), "spread").radius
                found.setdefault(("output", "softmax"), []).append(output.cpu())
                read += 1
                advance(1)
                if read == batches:
                    break
    except KeyboardInterrupt:
        if not read:
            raise
        interrupted = True
    found[("output", "softmax")] = found.pop(("output", "softmax"))  # comes last, after all batches
    distances = [torch.cat(parts).sort().values for parts in found.values()]
    return LayerRadii(
        layers=tuple(name for name, _ in found),
        kinds=tuple(kind for _, kind in found),
        least=np.array([float(each[0]) for each in distances]),
        quantile=np.array([float(each[int(_QUANTILE * len(each))]) for each in distances]),
        units=np.array([len(each) for each in distances]),
        step=step,
        direction=label,
        batches=read,
        interrupted=interrupted,
        not_looked_at=tuple(sorted(overlooked)),
    )
