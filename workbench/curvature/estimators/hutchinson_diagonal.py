"""Hutchinson's estimator of the diagonal: the mean of v ∘ A v over random signs v."""

import torch
from torch import Tensor

from workbench.curvature.estimators.diagonal_samples import DiagonalSamples, Layout
from workbench.curvature.estimators.moments import RunningMoments
from workbench.curvature.estimators.sampling import Probes, independent, multiply
from workbench.curvature.operators import CurvatureOperator


class HutchinsonDiagonal:
    r"""Samples :math:`v \circ A v` of the diagonal, with random signs v.

    One product per sample; no vector is kept.

    The variance of one sample of an entry is the sum of the squares of the others in its row.

    Source: Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a matrix", 2007, where the samples
    are divided by v ∘ v, which is 1 for signs.
    """

    cost = 1

    def __init__(self, op: CurvatureOperator, layout: Layout, seed: int) -> None:
        self._op, self._layout = op, layout
        self._probes = Probes(op, "rademacher", seed)
        self._moments = RunningMoments(op.shape[0], op.device)
        self._sums = torch.empty(0, len(layout), dtype=torch.float64, device="cpu")

    @property
    def count(self) -> int:
        """Number of samples."""
        return self._moments.count

    def extend(self, count: int) -> None:
        """Draw more samples."""
        probes = self._probes.draw(count)
        samples = probes * multiply(self._op, probes)
        sums = [samples[:, start:stop].sum(dim=1, dtype=torch.float64) for _, start, stop in self._layout]
        self._sums = torch.cat([self._sums[: self.count], torch.stack(sums, dim=1).cpu()])
        self._moments.add(samples)

    def finish(self) -> DiagonalSamples:
        """Return what the samples say."""
        sums: Tensor = self._sums[: self.count]
        layers = tuple(independent(column.contiguous()) for column in sums.T)
        return DiagonalSamples(
            self._moments.mean, self._moments.stderr(), layers, independent(sums.sum(dim=1))
        )
