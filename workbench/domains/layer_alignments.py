"""``layer_alignment``: how alike a network's gradients and Hessians are between data sets, layer by layer."""

import dataclasses
import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_choice
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.curvature import CurvatureOperator, eigenpairs, ggn, hessian
from workbench.layout import layers_of
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes, student_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = (BLUE, VERMILION, GREEN, SKY, ORANGE)  # of pairs, again with other dashes
MATRICES = {"hessian": hessian, "ggn": ggn}
MEASURES = ("cosine", "distance")
_WORDS = {"cosine": "cosine of the gradients", "distance": "relative distance of the matrices"}


@dataclasses.dataclass(frozen=True, repr=False)
class LayerAlignment(Result):
    """Agreement of a layer's gradients and curvature between environments.

    Attributes
    ----------
    layers : tuple of str
    pairs : tuple of (str, str)
        Environments that are compared.
    values : ndarray (measures, pairs, layers, networks)
        Cosine of the gradients; distance of the layer's blocks in the spectral norm, over the larger of their
        norms: 0 for the same, 2 at most. nan where a gradient, or both blocks, are zero, as of
        dead units.
    residuals : ndarray (pairs, layers, networks)
        Residual norms of the distance's eigenvalue, over the same norm; nan where that is.
    matrix : str
        ``"hessian"`` or ``"ggn"``.
    matvecs : int
        Products with a layer's block of one environment.
    interrupted : bool
        Whether there are fewer networks than were given.
    """

    layers: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    values: np.ndarray
    residuals: np.ndarray
    matrix: str
    matvecs: int
    interrupted: bool = False

    @property
    def networks(self) -> int:
        """Number of networks, such as seeds."""
        return self.values.shape[-1]

    @property
    def largest_residual(self) -> float:
        """Largest of the residuals that are defined."""
        return float(np.fmax.reduce(self.residuals, axis=None))

    def mean(self, pair: tuple[str, str], layer: str, measure: str = "distance") -> tuple[float, float]:
        """Mean over the networks, and half its 95 % interval (Student's)."""
        check_choice("measure", measure, MEASURES)
        check_choice("layer", layer, self.layers)
        if pair not in self.pairs:
            raise ValueError(f"pair={pair!r} is none of {', '.join(map(repr, self.pairs))}")
        place = (MEASURES.index(measure), self.pairs.index(pair), self.layers.index(layer))
        return student_interval(self.values[place])

    def frame(self) -> pd.DataFrame:
        """One row per pair and layer: means over the networks with half their 95 % intervals."""
        rows = []
        for place, pair in enumerate(self.pairs):
            for number, layer in enumerate(self.layers):
                row: dict[str, object] = {"first": pair[0], "second": pair[1], "layer": layer}
                for measure in MEASURES:
                    row[measure], row[f"{measure}_ci"] = self.mean(pair, layer, measure)
                rows.append(row | {"residual": self.residuals[place, number].max()})
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None, measure: str = "distance") -> "Axes":
        """A measure by layer, a line for each pair, with 95 % intervals."""
        ax = new_axes(ax)
        places = np.arange(len(self.layers))
        shifts = np.linspace(-0.12, 0.12, len(self.pairs)) if len(self.pairs) > 1 else [0.0]
        for number, (pair, shift) in enumerate(zip(self.pairs, shifts, strict=True)):
            mean, half = np.array([self.mean(pair, layer, measure) for layer in self.layers]).T
            label = f"{pair[0]} | {pair[1]}"
            color, style = COLORS[number % len(COLORS)], ("-", "--", ":")[number // len(COLORS) % 3]
            ax.errorbar(
                places + shift, mean, half, fmt=f"o{style}", markersize=4, color=color, capsize=3, label=label
            )
        ax.set_xticks(places, self.layers)
        ax.set_ylabel(_WORDS[measure])
        ax.set_title(f"{self.matrix}, {self.networks} networks, 95 % intervals", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Both measures of each pair, layer by layer, and the cost."""
        lines = []
        for pair in self.pairs:
            words = []
            for layer in self.layers:
                (cosine, part), (distance, half) = (self.mean(pair, layer, each) for each in MEASURES)
                words.append(
                    f"{layer} cosine {cosine:.2f} ± {part:.2g}, distance {distance:.2f} ± {half:.2g}"
                )
            lines.append(f"{pair[0]} | {pair[1]}: {'; '.join(words)}")
        note = ", INTERRUPTED before the other networks" if self.interrupted else ""
        lines.append(
            f"{self.matrix}, {self.networks} networks, {self.matvecs} products, residuals up to "
            f"{self.largest_residual:.1g}, 95 % intervals{note}"
        )
        return "\n".join(lines)


def layer_alignment(
    networks: Sequence[Sequence[Problem]], *, matrix: str = "hessian", tol: float = 1e-2, seed: int = 0
) -> LayerAlignment:
    """Compare gradients and curvature between data sets, for each layer by itself.

    Parameters
    ----------
    networks : sequence of sequence of Problem
        For each network the same model with several data sets, such as
        :func:`~workbench.domains.trained_networks.domain_problems` gives; all in the same order.
    matrix : {"hessian", "ggn"}
        The Hessian, or the Gauss-Newton matrix, whose difference leaves out that of the residuals.
    tol : float
        Relative residual of each norm.
    seed : int
        Of the start vectors.

    Returns
    -------
    LayerAlignment
        An interrupt (Ctrl-C) returns the networks that were done.

    Raises
    ------
    ValueError
        If there is no network, fewer than two data sets, models of one network differ, or networks have other
        data sets or layers than the first.

    Notes
    -----
    Cost: a gradient for each data set; for each layer some 10 products for each data set and some 20 for each
    pair of them.
    """
    check_choice("matrix", matrix, tuple(MATRICES))
    names, layers = _described(networks)
    pairs = tuple(combinations(names, 2))
    found: list[np.ndarray] = []
    matvecs = 0
    interrupted = False
    try:
        with progress("layers compared", len(networks) * len(layers)) as advance:
            for problems in networks:
                rows = []
                gradients = [problem.gradient() for problem in problems]
                operators = [MATRICES[matrix](problem) for problem in problems]
                for parameters in layers.values():
                    places = _places(problems[0], parameters)
                    blocks = [operator.restrict(parameters) for operator in operators]
                    norms = [_norm(block, tol, seed) for block in blocks]
                    matvecs += sum(cost for _, _, cost in norms)
                    row = []
                    for a, b in combinations(range(len(problems)), 2):
                        distance, residual, cost = _norm(blocks[a] - blocks[b], tol, seed)
                        matvecs += 2 * cost
                        larger = max(norms[a][0], norms[b][0]) or math.nan  # of what is zero nothing is known
                        cosine = _cosine(gradients[a][places], gradients[b][places])
                        row.append([cosine, distance / larger, residual / larger])
                    rows.append(row)
                    advance(1)
                found.append(np.array(rows).transpose(2, 1, 0))
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    values = np.stack(found, axis=-1)
    return LayerAlignment(
        layers=tuple(layers),
        pairs=pairs,
        values=values[:2],
        residuals=values[2],
        matrix=matrix,
        matvecs=matvecs,
        interrupted=interrupted,
    )


def _described(networks: Sequence[Sequence[Problem]]) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the data sets and parameters by layer, the same for all networks."""
    if not networks or len(networks[0]) < 2:
        raise ValueError("networks holds nothing to compare: pass at least one with two problems")
    names = [problem.name for problem in networks[0]]
    if len(set(names)) < len(names):
        raise ValueError(f"two problems have the same name: {', '.join(names)}")
    layers = layers_of(networks[0][0].layout)
    for number, problems in enumerate(networks):
        if [problem.name for problem in problems] != names:
            raise ValueError(f"network {number} has other problems than {', '.join(names)}")
        for problem in problems:
            if layers_of(problem.layout) != layers:
                raise ValueError(
                    f"problem {problem.name!r} of network {number} has other layers than the first"
                )
            if not torch.equal(problem.parameters_vector(), problems[0].parameters_vector()):
                raise ValueError(
                    f"problem {problem.name!r} of network {number} has another network's parameters"
                )
    return names, layers


def _places(problem: Problem, parameters: Sequence[str]) -> torch.Tensor:
    """Entries of the parameter vector that belong to these parameters."""
    return torch.cat(
        [torch.arange(part.start, part.stop) for part in problem.layout if part.name in parameters]
    )


def _cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """Cosine of the angle between two vectors, nan where one is zero."""
    return float(first @ second / (first.norm() * second.norm()))


def _norm(operator: CurvatureOperator, tol: float, seed: int) -> tuple[float, float, int]:
    """Spectral norm, its residual, and products."""
    pairs = eigenpairs(operator, 1, "LM", tol=tol, method="lanczos", seed=seed)
    if pairs.interrupted:
        raise KeyboardInterrupt
    return abs(float(pairs.values[0])), float(pairs.residuals[0]), pairs.matvecs
