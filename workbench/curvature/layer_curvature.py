"""``layer_curvature``: in which layers the eigenvectors live, and how curved each layer is by itself."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.choices import check_count
from workbench.colors import BLUE, VERMILION
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.matrices import hessian
from workbench.curvature.operators import as_operator
from workbench.curvature.pairs import Eigenpairs
from workbench.layout import layers_of
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class LayerCurvature(Result):
    """Eigenvectors by layer, and the largest eigenvalue of each layer's diagonal block.

    A block is what the layer alone would see, the others held fixed; no eigenvalue of a block is larger than
    the largest of the whole matrix.

    Attributes
    ----------
    pairs : Eigenpairs
        Of the whole matrix.
    blocks : dict of str to Eigenpairs
        The one largest of each layer's block, in the model's order.
    terms : str
        What the matrix is made of, e.g. ``"loss"``.
    interrupted : bool
        Whether some layers are missing because the computation was stopped.
    """

    pairs: Eigenpairs
    blocks: dict[str, Eigenpairs]
    terms: str
    interrupted: bool = False

    @property
    def shares(self) -> pd.DataFrame:
        """Share of each layer (column) in the squared norm of each eigenvector (row, from 1)."""
        return self.pairs.layer_shares()

    @property
    def matvecs(self) -> int:
        """Products with the blocks; those of ``pairs`` are counted there."""
        return sum(block.matvecs for block in self.blocks.values())

    @property
    def largest(self) -> float | None:
        """Largest eigenvalue of the whole matrix; None if ``pairs`` are others."""
        return self.pairs.values.max().item() if self.pairs.which in ("LA", "BE") else None

    def frame(self) -> pd.DataFrame:
        """One row per layer: the largest eigenvalue of its block, and its share in each eigenvector."""
        found = [(block.values[0].item(), block.residuals[0].item()) for block in self.blocks.values()]
        largest = pd.DataFrame(found, columns=["largest", "residual"], index=list(self.blocks))
        shares = self.shares.T.add_prefix("share_")
        return shares.join(largest)[[*largest.columns, *shares.columns]].rename_axis("layer").reset_index()

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the shares as a heat map, from 0 (white) to 1; a layer's own largest eigenvalue beside it."""
        ax = new_axes(ax)
        shares = self.shares
        image = ax.imshow(shares.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        ax.set_yticks(
            range(shares.shape[1]), [self._describe(str(layer)) for layer in shares], fontsize="small"
        )
        ax.set_xticks(range(len(shares)), [str(index) for index in shares.index])
        ax.set_xlabel("index of the eigenpair")
        ax.set_ylabel("layer (largest eigenvalue of its block)")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.figure.colorbar(image, ax=ax, label="share of the squared norm")
        return ax

    def plot_blocks(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the largest eigenvalue of each layer's block with its residual, beside that of the whole."""
        ax = new_axes(ax)
        frame = self.frame().dropna(subset="largest")
        places = np.arange(len(frame))
        ax.barh(
            places, frame["largest"], xerr=frame["residual"], color=BLUE, label="layer's block ± residual"
        )
        if self.largest is not None:
            ax.axvline(self.largest, color=VERMILION, linestyle="--", label="whole matrix")
        ax.set_yticks(places, frame["layer"], fontsize="small")
        ax.invert_yaxis()
        ax.set_xlabel(f"largest eigenvalue ({self.terms})")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The most curved layer, where the first eigenvector lives, and the cost."""
        lines = []
        if self.blocks:
            layer = max(self.blocks, key=lambda name: self.blocks[name].values[0].item())
            block = self.blocks[layer]
            whole = "" if self.largest is None else f" (largest of the whole {self.largest:.4g})"
            lines.append(
                f"most curved by itself: {layer}, {block.values[0]:.4g} ± {block.residuals[0]:.1g}{whole}"
            )
        first = self.shares.iloc[0]
        lines.append(f"eigenvector 1 lives in {first.idxmax()} to {first.max():.0%}")
        missed = [layer for layer, block in self.blocks.items() if not block.converged.all()]
        if missed:
            lines.append(f"NOT CONVERGED: {', '.join(missed)}")
        state = ", interrupted" if self.interrupted else ""
        return "\n".join(
            [*lines, f"{len(self.blocks)} blocks, {self.matvecs} products, of: {self.terms}{state}"]
        )

    def _describe(self, layer: str) -> str:
        return f"{layer} ({self.blocks[layer].values[0]:.3g})" if layer in self.blocks else layer


def layer_curvature(
    source: Any, k: int = 10, *, pairs: Eigenpairs | None = None, tol: float = 1e-3, seed: int = 0
) -> LayerCurvature:
    """Find in which layers eigenvectors live, and the largest eigenvalue of each layer's diagonal block.

    Parameters
    ----------
    source : Problem or CurvatureOperator
        A problem stands for its Hessian.
    k : int
        How many eigenvectors, of the largest eigenvalues.
    pairs : Eigenpairs, optional
        Eigenpairs of this matrix that are there already: ``k`` is not used then.
    tol : float
        Relative residual of each eigenvalue.
    seed : int
        Of the start vectors.

    Returns
    -------
    LayerCurvature
        An interrupt (Ctrl-C) returns the layers so far, once the eigenpairs are there.

    Raises
    ------
    ValueError
        If the operator does not know which parameter stands where, the pairs are not its own, or an option
        is out of range.

    Notes
    -----
    Cost: about 10 products for each layer; a layer's own where only that is differentiated.
    """
    op = hessian(source) if isinstance(source, Problem) else as_operator(source)
    if not op.layout:
        raise ValueError("this operator does not know which parameter stands where, so it has no layers")
    if pairs is None:
        check_count("k", k, 1, op.shape[0])
        pairs = eigenpairs(op, k, tol=tol, seed=seed)
        if pairs.interrupted:
            raise KeyboardInterrupt
    elif pairs.vectors.shape[0] != op.shape[0]:
        raise ValueError(f"the pairs' vectors have {pairs.vectors.shape[0]} entries, not {op.shape[0]}")
    layers = layers_of(op.layout)
    blocks: dict[str, Eigenpairs] = {}
    interrupted = False
    try:
        with progress("layers", len(layers)) as advance:
            for layer, names in layers.items():
                block = eigenpairs(op.restrict(names), 1, tol=tol, method="lanczos", seed=seed)
                if block.interrupted:
                    raise KeyboardInterrupt
                blocks[layer] = block
                advance(1)
    except KeyboardInterrupt:
        interrupted = True
    return LayerCurvature(pairs=pairs, blocks=blocks, terms=op.terms, interrupted=interrupted)
