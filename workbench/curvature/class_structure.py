"""``class_structure``: the part of a classifier's Gauss-Newton matrix that its classes explain."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.batches import Batch, count_examples, slice_batch
from workbench.colors import BLUE, ORANGE, VERMILION
from workbench.curvature.operators import CurvatureOperator, LowRank
from workbench.curvature.operators.autograd import vector_products
from workbench.curvature.operators.loss_hessian import example_shares
from workbench.curvature.pairs import Eigenpairs
from workbench.memory import free_bytes, show_bytes
from workbench.problem import Parameters, Problem
from workbench.progress import progress
from workbench.result import Result, new_axes
from workbench.weighting import identify_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ClassStructure(Result):
    r"""Means of the logits' derivatives over classes, which make up the outliers of the GGN.

    With :math:`\delta_{ic'} = J_i^\top (e_{c'} - p_i)` the matrix is exactly
    :math:`G = \sum_i s_i \sum_{c'} p_{ic'}\, \delta_{ic'} \delta_{ic'}^\top`. Grouped by the class c of an
    example and the class c' of a logit it is :math:`G_{class} + G_{cross} + G_{c=c'} + G_{within}`.

    Attributes
    ----------
    class_means : Tensor (C, n)
        :math:`\delta_c`, the mean over the examples of class c and all other logits.
    class_weights : Tensor (C,)
        How much each counts: :math:`G_{class} = \sum_c W_c\, \delta_c \delta_c^\top`.
    cross_means : Tensor (C, C, n)
        :math:`\delta_{cc'}`; empty if not asked for.
    cross_weights : Tensor (C, C)
        How much each counts; on its diagonal the weights of :math:`G_{c=c'}`.
    examples : Tensor (C,)
        Examples of each class.
    passes : float
        Cost, in gradients over the data, about.

    Source: Papyan, "Measurements of three-level hierarchical structure in the outliers in the spectrum of
    deepnet Hessians" (arXiv 1901.08244) and "Traces of class/cross-class structure pervade deep learning
    spectra" (arXiv 2008.11865); the decomposition is derived here from the softmax' Hessian.
    """

    class_means: Tensor
    class_weights: Tensor
    cross_means: Tensor
    cross_weights: Tensor
    examples: Tensor
    passes: float

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.class_weights)

    @property
    def class_values(self) -> Tensor:
        """Eigenvalues (C,) of the class means' part, descending, from a C × C Gram matrix."""
        return _gram_values(self._factors("class"))

    @property
    def cross_values(self) -> Tensor:
        """Eigenvalues of the cross-class part, descending, from a Gram matrix of all pairs; may be empty."""
        return _gram_values(self._factors("cross")) if self.cross_means.numel() else torch.empty(0)

    @property
    def gram(self) -> Tensor:
        r"""Inner products (C, C) of the weighted means :math:`\sqrt{W_c}\,\delta_c`, float64."""
        rows = self._factors("class").double()
        return rows @ rows.T

    @property
    def mean_cosines(self) -> Tensor:
        """Cosines (C, C) of the angles between the class means; nan for a class without examples."""
        lengths = self.gram.diagonal().sqrt()
        return (self.gram / (lengths[:, None] * lengths)).clamp(-1, 1)

    def operator(self, part: str = "class") -> CurvatureOperator:
        """Return one part as an operator, e.g. to take it away: ``ggn(problem) - structure.operator()``.

        Parameters
        ----------
        part : {"class", "cross", "same"}
            The class means, the deviations of pairs from them, or the pairs of a class with itself.
        """
        return LowRank(self._factors(part), terms=f"{part} means")

    def cosines(self, pairs: Eigenpairs) -> Tensor:
        """Cosines of the principal angles between the class means and some eigenvectors, descending."""
        means = torch.linalg.qr(self.class_means.double().T)[0]
        vectors = torch.linalg.qr(pairs.vectors.double())[0]
        return torch.linalg.svdvals(means.T @ vectors).clamp(max=1)

    def frame(self) -> pd.DataFrame:
        """One row per eigenvalue of each part: part, rank, value."""
        parts = {"class": self.class_values, "cross": self.cross_values}
        return pd.DataFrame(
            [(part, i + 1, float(v)) for part, values in parts.items() for i, v in enumerate(values)],
            columns=["part", "rank", "value"],
        )

    def plot(self, ax: "Axes | None" = None, pairs: Eigenpairs | None = None) -> "Axes":
        """Eigenvalues of the parts by rank, beside those of the whole matrix if given."""
        ax = new_axes(ax)
        parts = [("class means", self.class_values, VERMILION, "o")]
        if self.cross_means.numel():
            parts.append(("pairs of classes", self.cross_values, BLUE, "."))
        for name, values, color, marker in parts:
            kept = values[values > values.max() * 1e-6]
            ax.semilogy(np.arange(1, len(kept) + 1), kept, marker, color=color, label=name)
        if pairs is not None:
            ranks = np.arange(1, len(pairs.values) + 1)
            ax.semilogy(ranks, pairs.values, "x", color=ORANGE, label="whole matrix")
        ax.axvline(self.classes + 0.5, color="0.6", lw=0.8, ls=":")
        ax.set_xlabel("rank (dotted: number of classes)")
        ax.set_ylabel("eigenvalue")
        ax.legend()
        return ax

    def plot_cosines(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the cosines between the class means as a heat map, from −1 (blue) to 1 (red)."""
        ax = new_axes(ax)
        image = ax.imshow(self.mean_cosines.numpy(), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        if self.classes <= 20:
            ax.set_xticks(range(self.classes))
            ax.set_yticks(range(self.classes))
        ax.set_xlabel("class")
        ax.set_ylabel("class")
        ax.figure.colorbar(image, ax=ax, label="cosine between class means")
        return ax

    def summary(self) -> str:
        """What the class means explain."""
        values = self.class_values
        text = f"{self.classes} class means, eigenvalues {values[0]:.4g} … {values[-1]:.4g}"
        if self.cross_means.numel():
            text += f"; largest of the pairs {self.cross_values[0]:.4g}"
        return f"{text}; about {self.passes:.1f} gradients"

    def _factors(self, part: str) -> Tensor:
        """Rows whose outer products add up to a part."""
        if part == "class":
            return self.class_weights.sqrt()[:, None] * self.class_means
        if part not in ("cross", "same") or not self.cross_means.numel():
            raise ValueError(
                f"there is no part {part!r} here: 'class', and with cross=True 'cross' and 'same'"
            )
        same = torch.eye(self.classes, dtype=torch.bool, device=self.cross_means.device)
        if part == "same":
            return self.cross_weights[same].sqrt()[:, None] * self.cross_means[same]
        deviations = self.cross_means - self.class_means[:, None]
        return self.cross_weights[~same].sqrt()[:, None] * deviations[~same]


def class_structure(problem: Problem, *, cross: bool = False) -> ClassStructure:
    """Split the outliers of a classifier's Gauss-Newton matrix into parts that its classes explain.

    Parameters
    ----------
    problem : Problem
        With the cross entropy of class indices, and one row of logits per example.
    cross : bool
        Measure the pairs of classes, too: C times the cost, and C² vectors instead of C.

    Returns
    -------
    ClassStructure

    Raises
    ------
    ValueError
        For other losses or outputs, or if the pairs' vectors would not fit into half of the free memory.

    Notes
    -----
    Cost: one gradient over the data without, C with the pairs, and a forward pass.
    """
    classes, n = count_classes(problem), problem.num_parameters
    _, settings = identify_loss(problem.loss)
    rows = classes * classes if cross else classes
    dtype = torch.promote_types(problem.dtype, torch.float32)
    if rows * n * dtype.itemsize > free_bytes(problem.device) // 2:
        raise ValueError(
            f"the means of {rows} {'pairs of ' if cross else ''}classes take "
            f"{show_bytes(rows * n * dtype.itemsize)}, more than half of the free memory: "
            + ("pass cross=False" if cross else "restrict() the problem")
        )
    sums = torch.zeros(rows, n, dtype=dtype, device=problem.device)
    weights = torch.zeros(classes, classes, dtype=torch.float64, device=problem.device)
    examples = torch.zeros(classes, dtype=torch.long, device=problem.device)
    with progress("class means", problem.num_batches) as advance:
        for batch, share in problem.batches():
            targets = _class_indices(problem, batch)
            shares = share * example_shares(targets, settings, dtype)
            for c in range(classes):
                chosen = ((targets == c) & (shares > 0)).nonzero()[:, 0]
                if len(chosen):
                    part = slice_batch(batch, count_examples(batch), chosen)
                    weights[c] += _add_class(problem, part, shares[chosen], c, sums.view(classes, -1, n)[c])
                    examples[c] += len(chosen)
            advance(1)
    return _structure(sums, weights, examples, cross)


def has_classes(problem: Problem) -> bool:
    """Whether :func:`class_structure` and :func:`class_outliers` apply to a problem. One small forward pass.

    They do with the cross entropy of one class index per example, and one row of logits per example: not with
    a regression, nor with a language model, which has a row of logits for each token.
    """
    try:
        count_classes(problem)
    except ValueError:
        return False
    return True


def count_classes(problem: Problem) -> int:
    """Return the number of classes C, from the logits of one example.

    Raises
    ------
    ValueError
        If the problem has no classes, and why.
    """
    if identify_loss(problem.loss)[0] is not nn.CrossEntropyLoss:
        raise ValueError("classes structure the matrix of nn.CrossEntropyLoss alone")
    batch = problem.small_batch(1)
    with torch.no_grad():
        logits = _logits(problem, problem.parameters(), batch)
    _class_indices(problem, batch)
    return logits.shape[1]


def _class_indices(problem: Problem, batch: Batch) -> Tensor:
    targets = problem.batch_targets(batch)
    if not isinstance(targets, Tensor) or targets.dim() != 1 or targets.is_floating_point():
        raise ValueError("classes structure the matrix of one class index per example alone")
    return targets


def _add_class(problem: Problem, batch: Batch, shares: Tensor, c: int, sums: Tensor) -> Tensor:
    """Add the sums (1 or C, n) over some examples of class c; return how much each logit counts (C,)."""
    with torch.inference_mode(False), torch.enable_grad():
        leaves = problem.leaves()
        logits = _logits(problem, leaves, batch)
        p = logits.detach().to(shares.dtype).softmax(dim=1)
        weighted = shares[:, None] * p
        for place, row in enumerate(sums):
            # Summed over all logits the derivatives vanish: those of the others are minus the class' own.
            logit, sign = (place, 1.0) if len(sums) > 1 else (c, -1.0)
            unit = torch.zeros_like(p)
            unit[:, logit] = sign
            covector = weighted[:, logit, None] * (unit - sign * p)
            parts = vector_products([logits], list(leaves.values()), [covector], batched=False)
            row += torch.cat([part.reshape(-1) for part in parts]).to(row.dtype)
    return weighted.double().sum(dim=0)


def _logits(problem: Problem, parameters: Parameters, batch: Batch) -> Tensor:
    outputs = problem.outputs(parameters, batch)
    if not isinstance(outputs, Tensor) or outputs.dim() != 2:
        raise ValueError("classes structure the matrix of a model with one row of logits per example alone")
    return outputs


def _structure(sums: Tensor, weights: Tensor, examples: Tensor, cross: bool) -> ClassStructure:
    classes, n = len(weights), sums.shape[-1]
    pairs = sums.view(classes, -1, n)
    others = weights.sum(dim=1) - weights.diagonal()
    if cross:
        class_sums = pairs.sum(dim=1) - pairs[torch.arange(classes), torch.arange(classes)]
        cross_means = _divided(pairs, weights[:, :, None])
    else:
        class_sums, cross_means = pairs[:, 0], sums.new_empty(0, 0, n)
    return ClassStructure(
        class_means=_divided(class_sums, others[:, None]).cpu(),
        class_weights=others.to(sums.dtype).cpu(),
        cross_means=cross_means.cpu(),
        cross_weights=weights.to(sums.dtype).cpu(),
        examples=examples.cpu(),
        passes=float(classes if cross else 1) + 0.5,
    )


def _divided(total: Tensor, weight: Tensor) -> Tensor:
    return torch.where(weight > 0, total / weight.clamp(min=1e-300), 0).to(total.dtype)


def _gram_values(rows: Tensor) -> Tensor:
    gram = rows.double() @ rows.double().T
    return torch.linalg.eigvalsh(gram).flip(0).clamp(min=0)
