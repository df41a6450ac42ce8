"""``diagonal_noise``: what random probes add to a penalty that aligns diagonals."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, VERMILION
from workbench.domains.heads import head_diagonal, head_hessian
from workbench.domains.trained_networks import train_and_test_heads, trained_networks
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("independent", "shared")
KIND_COLORS = dict(zip(KINDS, (VERMILION, BLUE), strict=True))
COUNTS = (1, 3, 10, 30, 100, 300)


@dataclasses.dataclass(frozen=True, repr=False)
class DiagonalNoise(Result):
    r"""Penalty of the diagonals, estimated and exact, over the number of probes.

    Attributes
    ----------
    counts : ndarray (n,)
        Probes of each environment.
    penalties : ndarray (kinds, n, draws)
        With probes of its own for each environment, and with the same for all.
    exact : float
        With exact diagonals.
    noise : ndarray (kinds,)
        What one probe adds to the expectation, exactly; m of them add an m-th.
    shift : str
    steps, width, seed : int
        Of the training by ERM that made the network, and of the probes.
    interrupted : bool
        Whether there are fewer counts than were asked for.
    """

    counts: np.ndarray
    penalties: np.ndarray
    exact: float
    noise: np.ndarray
    shift: str
    steps: int
    width: int
    seed: int
    interrupted: bool = False

    def mean(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean penalty (n,) over the draws, and its standard error."""
        check_choice("kind", kind, KINDS)
        values = self.penalties[KINDS.index(kind)]
        return values.mean(-1), standard_error(values.T)

    def law(self, kind: str) -> np.ndarray:
        """Expected penalty (n,): exact, plus the noise of one probe over their number."""
        check_choice("kind", kind, KINDS)
        return self.exact + self.noise[KINDS.index(kind)] / self.counts

    def frame(self) -> pd.DataFrame:
        """One row per kind and number of probes."""
        parts = []
        for kind in KINDS:
            mean, error = self.mean(kind)
            columns = {"probes": kind, "count": self.counts, "penalty": mean, "stderr": error}
            parts.append(pd.DataFrame(columns | {"law": self.law(kind), "exact": self.exact}))
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Penalty against the number of probes, with two standard errors, beside the law."""
        ax = new_axes(ax)
        for kind in KINDS:
            mean, error = self.mean(kind)
            color = KIND_COLORS[kind]
            ax.errorbar(self.counts, mean, 2 * error, fmt="o", color=color, capsize=3, label=f"{kind} probes")
            ax.plot(self.counts, self.law(kind), color=color, linewidth=1, label=f"law, {kind}")
        ax.axhline(self.exact, color="0.4", linestyle="--", label="exact diagonals")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("probes of each environment")
        ax.set_ylabel("spread of the diagonals")
        ax.set_title(f"{self.shift} shift, {self.steps} steps of ERM", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Penalty at the most probes, beside the exact one, and how many probes add as much as there is."""
        lines = [f"spread of the exact diagonals {self.exact:.4g}"]
        for kind in KINDS:
            mean, error = self.mean(kind)
            equal = self.noise[KINDS.index(kind)] / self.exact if self.exact else np.inf
            lines.append(
                f"{kind} probes: {mean[-1]:.4g} ± {error[-1]:.1g} with {self.counts[-1]} (law "
                f"{self.law(kind)[-1]:.4g}); with {equal:.3g} probes half of it is noise"
            )
        note = ", INTERRUPTED before the other numbers" if self.interrupted else ""
        lines.append(
            f"{self.shift} shift, {self.steps} steps of ERM, width {self.width}, {self.penalties.shape[-1]} "
            f"draws, seed {self.seed}{note}"
        )
        return "\n".join(lines)


def diagonal_noise(
    shift: str = "correlation",
    counts: Sequence[int] = COUNTS,
    *,
    draws: int = 200,
    width: int = 32,
    steps: int = 200,
    seed: int = 0,
) -> DiagonalNoise:
    r"""Estimate the spread of the head's diagonals between environments with random signs, many times.

    An estimate of m probes is unbiased, and its square is not: the penalty gets the variance beside it. With
    probes of its own for each of E environments the expectation is
    :math:`P + (1 - 1/E)\,\overline{o(H_e)} / m`, with the same for all
    :math:`P + \overline{o(H_e - \bar H)} / m`; o sums the squares off the diagonal (derived here). The
    second is zero where environments are the same, the first is not.

    Parameters
    ----------
    shift : {"correlation", "label", "diversity"}
    counts : sequence of int
        Numbers of probes; the code released with arXiv 2308.11778 has 300.
    draws : int
        Penalties of each number of probes.
    width, steps : int
        Of the network and its training by ERM, 0 for its start.
    seed : int
        Of the network, its environments and the probes.

    Returns
    -------
    DiagonalNoise
        An interrupt (Ctrl-C) returns the numbers of probes that were done.

    Raises
    ------
    TypeError, ValueError
        If the shift is unknown, there is no number of probes, or a number is out of range.

    Notes
    -----
    Cost: the training, and ``2 * draws * sum(counts)`` products of the head's Hessian with a vector for each
    environment; here the Hessian is a matrix, made once.
    """
    if not len(counts):
        raise ValueError("counts is empty: pass at least one")
    for count in counts:
        check_count("counts", count)
    for name, number, low in (
        ("draws", draws, 1),
        ("width", width, 1),
        ("steps", steps, 0),
        ("seed", seed, 0),
    ):
        check_count(name, number, low)
    drawn, networks = trained_networks(shift, "erm", weight=1.0, width=width, steps=steps, seeds=[seed])
    state, _ = train_and_test_heads(drawn, networks, 0)
    hessians = head_hessian(state.features, state.logits)
    exact = float(_spread(head_diagonal(state.features, state.logits).flatten(1)))
    environments = len(hessians)
    own = (1 - 1 / environments) * _off_diagonal(hessians).mean()
    shared = _off_diagonal(hessians - hessians.mean(0)).mean()
    random = generator(seed)
    found: list[np.ndarray] = []
    interrupted = False
    try:
        with progress("noise of the diagonals", len(counts)) as advance:
            for count in counts:
                found.append(
                    np.array(
                        [
                            [_estimate(hessians, count, alike, random) for _ in range(draws)]
                            for alike in (False, True)
                        ]
                    )
                )
                advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return DiagonalNoise(
        counts=np.array(counts[: len(found)]),
        penalties=np.stack(found, axis=1),
        exact=exact,
        noise=np.array([float(own), float(shared)]),
        shift=shift,
        steps=steps,
        width=width,
        seed=seed,
        interrupted=interrupted,
    )


def _estimate(hessians: Tensor, count: int, alike: bool, random: torch.Generator) -> float:
    """Penalty of one draw of probes; those of all environments are alike or not."""
    environments, size, _ = hessians.shape
    drawn = torch.randint(0, 2, (1 if alike else environments, size, count), generator=random)
    signs = (2 * drawn - 1).to(hessians.dtype)
    return float(_spread((signs * (hessians @ signs)).mean(-1)))


def _spread(diagonals: Tensor) -> Tensor:
    """Mean squared distance of diagonals (E, n) from their mean."""
    return (diagonals - diagonals.mean(0)).square().sum(-1).mean()


def _off_diagonal(matrices: Tensor) -> Tensor:
    """Sum (E,) of the squares off the diagonals of matrices (E, n, n)."""
    return matrices.square().sum((1, 2)) - matrices.diagonal(dim1=1, dim2=2).square().sum(-1)
