"""XDiag, the exchangeable estimator of the diagonal."""

import math

import torch
from torch import Tensor

from workbench.curvature.estimators.deflation import small
from workbench.curvature.estimators.diagonal_samples import DiagonalSamples, Layout
from workbench.curvature.estimators.exchangeable import ExchangeableProbes, LeftOut, covariance
from workbench.curvature.estimators.sampling import Probes, Samples, independent
from workbench.curvature.operators import CurvatureOperator

_PAIR_NUMBERS = 2**17  # about pairs of vectors, held at once: what fits into a cache


class XDiag:
    r"""Samples :math:`\mathrm{diag}(Q_i Q_i^\top A) + \omega_i \circ (I - Q_i Q_i^\top) A \omega_i`.

    The ω are random signs, :math:`Q_i` spans all :math:`A \omega_j` with j ≠ i, and A is symmetric. Two
    products per sample. The standard error is that of XTrace, entry by entry, the covariance of two samples
    included (:func:`~.exchangeable.covariance`); it costs about 10 m² operations per entry.

    Source: Epperly, Tropp and Webber, "XTrace: making the most of every sample in stochastic trace
    estimation", 2024 (arXiv 2301.07825).
    """

    cost = 2

    def __init__(self, op: CurvatureOperator, layout: Layout, seed: int, capacity: int) -> None:
        self._layout = layout
        self._probes = ExchangeableProbes(op, Probes(op, "rademacher", seed), capacity)

    @property
    def count(self) -> int:
        """Number of samples."""
        return self._probes.count

    def extend(self, count: int) -> None:
        """Draw more samples."""
        self._probes.extend(count)

    def finish(self) -> DiagonalSamples:
        """Return what the samples say."""
        basis, vectors = self._probes.basis, self._probes.vectors
        left_out = LeftOut(basis.triangle)
        images = small(basis.images, vectors)
        # (I - Q_i Q_iᵀ) A ω_i in the basis Q, and the products of the second direction lost with Qᵀ A ω_i.
        rest, along = basis.triangle - left_out.first(images), left_out.second(images)
        means, errors, layers = [], [], []
        total = _Sum(self.count)
        step = max(_PAIR_NUMBERS // self.count**2, 1)
        for _, start, stop in self._layout:
            layer = _Sum(self.count)
            for first in range(start, stop, step):
                part = slice(first, min(first + step, stop))
                rows, products, probes = (
                    each[:, part].double().cpu() for each in (basis.rows, basis.images, vectors)
                )
                along_rows, along_products = left_out.directions.T @ rows, left_out.directions.T @ products
                samples = (rows * products).sum(dim=0) - along_rows * along_products
                samples += probes * (rest.T @ rows)
                lost = _second(left_out, along_rows)
                changes = lost * (_second(left_out, along_products) - along[..., None] * probes[:, None])
                means.append(samples.mean(dim=0))
                errors.append(_variance(samples, changes).sqrt())
                layer.add(samples, changes)
            total.add_sums(layer)
            layers.append(layer.samples())
        device = basis.rows.device
        return DiagonalSamples(
            torch.cat(means).to(device), torch.cat(errors).to(device), tuple(layers), total.samples()
        )


class _Sum:
    """Samples of a sum of entries, and how they change with a second vector."""

    def __init__(self, count: int) -> None:
        self._values = torch.zeros(count, dtype=torch.float64, device="cpu")
        self._changes = torch.zeros(count, count, dtype=torch.float64, device="cpu")

    def add(self, samples: Tensor, changes: Tensor) -> None:
        self._values += samples.sum(dim=-1)
        self._changes += changes.sum(dim=-1)

    def add_sums(self, other: "_Sum") -> None:
        self._values += other._values
        self._changes += other._changes

    def samples(self) -> Samples:
        error = math.hypot(independent(self._values).stderr, covariance(self._changes).sqrt().item())
        return Samples(self._values, error)


def _second(left_out: LeftOut, entries: Tensor) -> Tensor:
    """Entries (i, j, …) of the second direction lost, from those of the first ones (m, …)."""
    return (entries[None] - left_out.overlap[..., None] * entries[:, None]) / left_out.sine[..., None]


def _variance(samples: Tensor, changes: Tensor) -> Tensor:
    return samples.var(dim=0) / len(samples) + covariance(changes)
