"""``taylor_radius``: how far a step may go along a direction before the loss leaves its Taylor series."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, VERMILION
from workbench.curvature.pairs import Eigenpairs
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator, random_vectors
from workbench.result import Result, new_axes
from workbench.stability.radii import KINDS, logit_radius
from workbench.stability.slopes import logits_and_slopes
from workbench.stability.updates import update_vector

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WORDS = ("gradient", "random")


@dataclasses.dataclass(frozen=True, repr=False)
class TaylorRadius(Result):
    """Radius of the loss along a unit direction in the space of the parameters.

    Attributes
    ----------
    radius : float
        The least of all rows, or their quantile; inf if no logit moves.
    certified : bool
        Whether no zero of a linearised softmax is nearer: True for the least radius of all that was asked
        for, False for a quantile. It is a statement on the tangents of the logits: how they bend is left out.
    step : float
        Length of the vector given, such as an optimizer's update; for ``"gradient"`` that of a step of
        gradient descent with learning rate 1, for ``"random"`` 1.
    direction : str
        What the direction is.
    kind : str
        ``"spread"``, ``"majority"`` or ``"exact"``.
    reduce : str or float
        ``"min"``, or which quantile.
    radii, spreads : Tensor (rows,)
        Radius, and spread of the slopes, of each softmax: a row is an example, or a token of one.
    exact : Tensor (rows,) of bool
        For ``kind="exact"``, the rows whose radius is certified to be the distance of the nearest zero; for
        the others it is the majority bound. All False for the bounds.
    batches : int
        Batches that were read, one forward-mode pass (about two forward passes) each.
    interrupted : bool
        Whether there are more batches that were not.
    """

    radius: float
    certified: bool
    step: float
    direction: str
    kind: str
    reduce: str | float
    radii: Tensor
    spreads: Tensor
    exact: Tensor
    batches: int
    interrupted: bool = False

    @property
    def ratio(self) -> float:
        """Length of the step over the radius; 0 if the radius is infinite."""
        return self.step / self.radius if self.radius else math.inf

    def frame(self) -> pd.DataFrame:
        """One row per softmax."""
        columns = {"radius": self.radii, "spread": self.spreads, "exact": self.exact}
        table = pd.DataFrame({name: values.numpy() for name, values in columns.items()})
        return table.rename_axis("row").reset_index()

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Share of the rows whose radius is smaller, with the radius and the step."""
        ax = new_axes(ax)
        radii = np.sort(self.radii[self.radii.isfinite()].numpy())
        if len(radii):
            ax.step(radii, np.arange(1, len(radii) + 1) / len(self.radii), color=BLUE, where="post")
            ax.axvline(self.radius, color=GREEN, linestyle="--", label=f"radius {self.radius:.3g}")
            ax.axvline(self.step, color=VERMILION, label=f"step {self.step:.3g}")
            ax.set_xscale("log")
            ax.legend(fontsize="small")
        ax.set_xlabel(f"distance along the {self.direction}")
        ax.set_ylabel(f"share of rows with a smaller {self.kind} radius")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """Radius and what it is worth, the step over it, and the cost."""
        what = "least" if self.reduce == "min" else f"{self.reduce:.3g} quantile"
        worth = "certified for linearised logits" if self.certified else "NOT certified"
        lines = [
            f"Taylor radius {self.radius:.4g} along the {self.direction} ({what} of {len(self.radii)} rows, "
            f"{self.kind}, {worth})",
            f"step {self.step:.4g} = {self.ratio:.3g} radii",
        ]
        if self.kind == "exact" and not self.exact.all():
            lines.append(
                f"{int((~self.exact).sum())} rows have the majority bound in place of the exact radius"
            )
        note = ", INTERRUPTED before the rest" if self.interrupted else ""
        lines.append(f"{self.batches} forward-mode passes over a batch{note}")
        return "\n".join(lines)


def taylor_radius(
    problem: Problem,
    direction: Any,
    kind: str = "majority",
    reduce: str | float = "min",
    *,
    batches: int | None = None,
    seed: int = 0,
) -> TaylorRadius:
    r"""Radius of convergence of the loss along a direction, with the logits linearised.

    Along the unit vector v of the direction, the logits are taken as :math:`z + t\,J v`. Each softmax has the
    radius of :func:`logit_radius`; the mean loss has the least of them.

    Parameters
    ----------
    problem : Problem
        Its loss is a cross entropy of logits, see :func:`logits_and_slopes`.
    direction : Optimizer, {"gradient", "random"}, Eigenpairs or Tensor (n,)
        An optimizer stands for the update that it would make now, from the gradient over all the data; of
        eigenpairs, the first vector is taken. The length is the ``step`` of the result.
    kind : {"majority", "spread", "exact"}
        The bound, or the distance itself, see :func:`logit_radius`.
    reduce : "min" or float
        The least radius of all rows, or a quantile between 0 and 1, such as 0.01, which is not certified.
    batches : int, optional
        Read only the first so many; by default all the data.
    seed : int
        Of the random direction.

    Returns
    -------
    TaylorRadius
        An interrupt (Ctrl-C) returns what is known of the batches so far, not certified.

    Raises
    ------
    ValueError
        If the direction is zero, not finite, or of another length, the loss has no logits, or a choice is
        unknown.
    TypeError
        If the direction is none of these, or a tensor of other than floating point numbers.

    Notes
    -----
    Cost: one forward-mode pass over the data; a gradient for an optimizer or ``"gradient"``.
    Source: Sao, "Ghosts of softmax", arXiv:2603.13552.
    """
    check_choice("kind", kind, KINDS)
    _check_reduce(reduce)
    if batches is not None:
        check_count("batches", batches)
    vector, label, step = read_direction(problem, direction, seed)
    found = []
    interrupted = False
    total = problem.num_batches if batches is None else min(batches, problem.num_batches)
    try:
        with progress("Taylor radius", total) as advance:
            for logits, slopes in logits_and_slopes(problem, vector / step):
                found.append(logit_radius(logits, slopes, kind))
                advance(1)
                if len(found) == batches:
                    break
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    radii = torch.cat([part.radius for part in found]).cpu()
    certified = torch.cat([part.certified for part in found]).cpu()
    return TaylorRadius(
        radius=float(radii.min()) if reduce == "min" else _quantile(radii, float(reduce)),
        certified=reduce == "min" and not interrupted,
        step=step,
        direction=label,
        kind=kind,
        reduce=reduce,
        radii=radii,
        spreads=torch.cat([part.spread for part in found]).cpu(),
        exact=certified if kind == "exact" else torch.zeros_like(certified),
        batches=len(found),
        interrupted=interrupted,
    )


def read_direction(problem: Problem, direction: Any, seed: int = 0) -> tuple[Tensor, str, float]:
    """Read what may be passed as a direction: its vector (n,), its name, and its length.

    Raises
    ------
    ValueError
        If a word is unknown, a tensor has another shape, or the vector is zero or not finite.
    TypeError
        If it is something else, or a tensor of other than floating point numbers.
    """
    vector, label = _vector_and_name(problem, direction, seed)
    if not vector.is_floating_point():
        raise TypeError(f"direction is a tensor of {vector.dtype}: it must be of floating point numbers")
    if vector.shape != (problem.num_parameters,):
        raise ValueError(f"direction has shape {tuple(vector.shape)}, not ({problem.num_parameters},)")
    length = float(torch.linalg.vector_norm(vector, dtype=torch.float64))
    if not 0 < length < math.inf:
        raise ValueError(f"the {label} has length {length}: it must be positive and finite")
    return vector.to(problem.device), label, length


def _vector_and_name(problem: Problem, direction: Any, seed: int) -> tuple[Tensor, str]:
    if isinstance(direction, Optimizer):
        return update_vector(problem, direction), f"update of {type(direction).__name__}"
    if isinstance(direction, Eigenpairs):
        return direction.vectors[:, 0], f"eigenvector 1 (λ = {direction.values[0].item():.4g})"
    if isinstance(direction, Tensor):
        return direction.detach(), "given direction"
    if not isinstance(direction, str):
        raise TypeError(
            f"direction is a {type(direction).__name__}: pass an optimizer, 'gradient', 'random', Eigenpairs "
            f"or a tensor ({problem.num_parameters},)"
        )
    check_choice("direction", direction, _WORDS)
    if direction == "gradient":
        return problem.gradient(), "gradient"
    vector = random_vectors(1, problem.num_parameters, generator(seed))[0]
    return vector / vector.norm(), f"random direction (seed {seed})"


def _check_reduce(reduce: Any) -> None:
    if isinstance(reduce, str):
        check_choice("reduce", reduce, ("min",))
    elif isinstance(reduce, bool) or not isinstance(reduce, float | int) or not 0 <= reduce <= 1:
        raise ValueError(f"reduce={reduce!r}: it must be 'min' or a quantile between 0 and 1")


def _quantile(radii: Tensor, share: float) -> float:
    """The radius that this share of the rows does not exceed, one of theirs; some may be inf."""
    place = min(int(share * len(radii)), len(radii) - 1)
    return float(radii.sort().values[place])
