"""The section on curvature: outliers, bulk, negative edge, sharpest layers, Gauss-Newton."""

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from workbench.colors import BLUE, VERMILION
from workbench.curvature import (
    Eigenpairs,
    LayerCurvature,
    Spectrum,
    eigenpairs,
    hessian,
    layer_curvature,
    spectrum,
)
from workbench.curvature.outliers import most_outliers
from workbench.layout import layers_of
from workbench.overview.caution import Caution
from workbench.overview.finding import Finding
from workbench.overview.planning import Cost, Level
from workbench.overview.section import Section, plural
from workbench.overview.setting import Setting
from workbench.overview.watch import Watch
from workbench.result import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NEGATIVE = 0.1  # of the largest eigenvalue: more negative curvature than that is warned of
_LAYERS = 12  # bars of a picture
_BLOCK = 12.0  # products that the block of a layer takes


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class CurvatureSection(Section):
    """How curved the loss is.

    Eigenvectors are not kept: they would be most of the file.

    Attributes
    ----------
    top : Eigenpairs or None
        The largest eigenvalues of the Hessian.
    spectrum : Spectrum or None
        With the density and the other end, if the budget went that far.
    layers : LayerCurvature or None
        Largest eigenvalue of each layer's block.
    names : tuple of str
        Of the layers.
    shares : ndarray (layers,)
        Of each layer in the squared norm of the first eigenvector.
    """

    key: ClassVar[str] = "curvature"
    title: ClassVar[str] = "Curvature"
    notebook: ClassVar[str] = "curvature"
    size: ClassVar[tuple[float, float]] = (9.0, 4.0)

    top: Eigenpairs | None = None
    spectrum: Spectrum | None = None
    layers: LayerCurvature | None = None
    names: tuple[str, ...] = ()
    shares: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))

    @property
    def sharpness(self) -> float | None:
        """The largest eigenvalue."""
        return None if self.top is None else self.top.values[0].item()

    @property
    def _told(self) -> int:
        """How many outliers could have been told from the rest: with few eigenvalues not all."""
        assert self.top is not None
        return most_outliers(self.top)

    @property
    def sentence(self) -> str:
        """How steep, along how many directions, where, and whether the loss also bends down."""
        if self.top is None:
            return "The curvature could not be measured."
        largest = self.top.values[0].item()
        if largest <= 0:
            text = f"The loss bends up in no direction: its largest curvature is {largest:.3g}."
        elif self.spectrum is not None and self.spectrum.outliers:
            edge, residual = self.spectrum.bulk_edge
            times = f", {largest / edge:.3g} times that of all others" if edge > residual else ""
            verb = "stands" if self.spectrum.outliers == 1 else "stand"
            text = (
                f"{plural(self.spectrum.outliers, 'direction')} out of {self.spectrum.size:,} {verb} out: "
                f"the loss is steepest there, with a curvature of up to {largest:.3g}{times}."
            )
        elif self.spectrum is not None and self._told:
            text = f"Curvatures reach {largest:.3g}, without a wide gap among the {self._told + 1} largest."
        else:
            text = f"The steepest direction of the loss has a curvature of {largest:.3g}."
        if len(self.shares) and largest > 0:
            place = int(self.shares.argmax())
            text += f" The steepest lies to {self.shares[place]:.0%} in {self.names[place]}."
        return text

    @property
    def caption(self) -> str:
        """How to read the spectrum and the layers."""
        left = (
            "Left: how many eigenvalues of the Hessian there are at each curvature (logarithmic height; "
            "triangles are single ones that stand out, a dashed line is where the rest ends; left of zero "
            "the loss bends down)."
            if self.spectrum is not None
            else "Left: the largest eigenvalues of the Hessian with their residuals."
        )
        right = (
            "Right: the largest curvature that each layer has by itself, the others held fixed; none is "
            "larger than that of the whole (dashed)."
            if self.layers is not None
            else "Right: how much of the steepest direction lies in each layer."
        )
        return f"{left} {right}"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Largest eigenvalue, outliers, edge, smallest, trace, Gauss-Newton, sharpest layer."""
        if self.top is None:
            return ()
        found = [_pair("largest eigenvalue", self.top)]
        if self.spectrum is not None:
            found += self._of_spectrum(self.spectrum)
        blocks = {} if self.layers is None else self.layers.blocks
        if blocks:
            layer = max(blocks, key=lambda name: blocks[name].values[0].item())
            found.append(_pair("largest of a single layer", blocks[layer]))
        return tuple(found)

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """Strong negative curvature, and what did not converge."""
        if self.top is None:
            return ()
        found = []
        missed = int((~self.top.converged).sum())
        if missed:
            found.append(
                Caution(
                    f"{missed} of the {len(self.top.converged)} largest eigenvalues have not converged: "
                    "give a larger budget",
                    "largest eigenvalues not converged",
                    missed,
                    1,
                )
            )
        if self.spectrum is not None:
            largest, smallest = self.top.values[0].item(), self.spectrum.smallest.values[0].item()
            ratio = -smallest / largest if largest > 0 else math.nan
            if largest <= 0 and smallest < 0:
                text = "the loss bends up in no direction and down in some: this is no minimum"
                found.append(Caution(text, "smallest eigenvalue", smallest, 0))
            elif ratio > _NEGATIVE:
                found.append(
                    Caution(
                        f"the loss bends down along some direction, {ratio:.0%} as strongly as it bends up: "
                        "this is no minimum, and limits that take it for one do not hold",
                        "smallest eigenvalue over the largest, turned",
                        ratio,
                        _NEGATIVE,
                    )
                )
        return tuple(found)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The spectrum."""
        ax = new_axes(ax)
        found = self.spectrum if self.spectrum is not None else self.top
        if found is not None:
            found.plot(ax)
            ax.set_title("")
        return ax

    def draw(self, figure: "Figure") -> None:
        """The spectrum beside the layers."""
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
        self.plot(left)
        self._plot_layers(right)

    def _plot_layers(self, ax: "Axes") -> None:
        if self.layers is not None:
            blocks = {name: pairs.values[0].item() for name, pairs in self.layers.blocks.items()}
            label = "largest curvature"
        else:
            blocks = dict(zip(self.names, self.shares, strict=True))
            label = "share of the steepest direction"
        shown = sorted(blocks, key=lambda name: -blocks[name])[:_LAYERS]
        shown = [name for name in blocks if name in shown]  # in the model's order
        ax.barh(range(len(shown)), [blocks[name] for name in shown], color=BLUE)
        if self.layers is not None and self.top is not None:
            ax.axvline(self.top.values[0].item(), color=VERMILION, linestyle="--")
        ax.set_yticks(range(len(shown)), [short(name) for name in shown], fontsize="x-small")
        ax.invert_yaxis()
        ax.set_xlabel(
            label + (f" ({len(shown)} of {len(blocks)} layers)" if len(blocks) > len(shown) else "")
        )

    def _of_spectrum(self, found: Spectrum) -> list[Finding]:
        edge, residual = found.bulk_edge
        density, probes = found.density, len(found.density.weights)
        rows = [
            Finding("directions that stand out", found.outliers, kind=f"of {self._told} that could be told"),
            *([Finding.within("edge of the rest", edge, residual, "residual")] if found.outliers else []),
            _pair("smallest eigenvalue found", found.smallest),
            Finding.estimated("trace", density.trace, density.trace_stderr, probes, "probes"),
            Finding.estimated(
                "share near zero", density.null_mass, density.null_stderr, probes, "probes", "%"
            ),
        ]
        if found.gauss_newton is not None:
            rows.append(_pair("largest of the Gauss-Newton matrix", found.gauss_newton))
        if len(found.angles):
            rows.append(
                Finding.within(
                    f"angle between its steep{'' if found.outliers else 'est'} directions and the Hessian's",
                    float(found.angles[-1]),
                    found.angles_bound,
                    "bound",
                    "°",
                )
            )
        return rows


def offer(setting: Setting) -> list[Level]:
    """Return how deep the curvature may be measured."""
    layers = len(layers_of(setting.problem.layout))
    return [
        Level(Cost(products=26), {"k": 2, "probes": 0, "steps": 0}),
        Level(Cost(products=65), {"k": 8, "probes": 2, "steps": 10}),  # trace as with more steps
        Level(Cost(products=90), {"k": 8, "probes": 2, "steps": 20}),
        Level(Cost(products=200 + _BLOCK * layers), {"k": 16, "probes": 5, "steps": 24}),
        Level(Cost(products=450 + _BLOCK * layers), {"k": 20, "probes": 5, "steps": 60}),
    ]


def measure(setting: Setting, watch: Watch, *, k: int, probes: int, steps: int) -> CurvatureSection:
    """Measure the curvature of the loss over the data."""
    if setting.problem.regularizer is not None or setting.problem.weight_decay:
        watch.skip("regularizer and weight decay", "what is measured here is the loss of the examples alone")
    problem, found, blocks = setting.problem, None, None
    matrix = watch.measure("Hessian", hessian, problem)
    if matrix is None:
        return CurvatureSection(tuple(watch.left_out), 0.0, watch.seconds, watch.interrupted)
    k = min(k, max(matrix.shape[0] - 1, 1))
    products = 0.0
    if probes:
        found = watch.measure(
            "spectrum", spectrum, matrix, k, probes=probes, steps=steps, tol=1e-2, seed=setting.seed,
            max_matvecs=max(3 * k, 40),
        )  # fmt: skip
        products += found.matvecs if found is not None else matrix.matvecs
    top: Eigenpairs | None = None if found is None else found.top
    if top is None:
        top = watch.measure(
            "eigenvalues", eigenpairs, matrix, min(2, matrix.shape[0]), tol=0.03, max_matvecs=24,
            method="lanczos", seed=setting.seed,
        )  # fmt: skip
        products += top.matvecs if top is not None else 0
    layers = list(layers_of(matrix.layout))
    if top is not None and k >= 16:
        blocks = watch.measure("layers", layer_curvature, matrix, pairs=top, tol=0.03, seed=setting.seed)
        products += blocks.matvecs if blocks is not None else 0
    shares = np.empty(0) if top is None else top.layer_shares().iloc[0].reindex(layers).to_numpy(float)
    return CurvatureSection(
        left_out=tuple(watch.left_out),
        gradients=2 * products,
        seconds=watch.seconds,
        interrupted=watch.interrupted,
        top=None if top is None else _without_vectors(top),
        spectrum=None if found is None else _lighter(found),
        layers=None if blocks is None else _lighter_layers(blocks),
        names=tuple(layers) if len(shares) else (),
        shares=shares,
    )


def short(name: str, length: int = 28) -> str:
    """A name that fits beside a bar: its end says more than its beginning."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def _pair(name: str, pairs: Eigenpairs) -> Finding:
    return Finding.within(name, pairs.values[0].item(), pairs.residuals[0].item(), "residual")


def _without_vectors(pairs: Eigenpairs) -> Eigenpairs:
    return pairs.replace(vectors=torch.empty(0, len(pairs.values)))


def _lighter(found: Spectrum) -> Spectrum:
    gauss_newton = found.gauss_newton and _without_vectors(found.gauss_newton)
    return found.replace(
        top=_without_vectors(found.top), smallest=_without_vectors(found.smallest), gauss_newton=gauss_newton
    )


def _lighter_layers(found: LayerCurvature) -> LayerCurvature:
    blocks = {name: _without_vectors(pairs) for name, pairs in found.blocks.items()}
    return found.replace(pairs=_without_vectors(found.pairs), blocks=blocks)
