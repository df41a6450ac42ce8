"""Hutch++: exact on a random part of the range, Hutchinson's estimator on the rest."""

import torch
from torch import Tensor

from workbench.curvature.estimators.deflation import outside, paired, scales, small
from workbench.curvature.estimators.range_basis import RangeBasis
from workbench.curvature.estimators.sampling import (
    Probes,
    Samples,
    check_memory,
    independent,
    multiply,
)
from workbench.curvature.operators import CurvatureOperator


class HutchPlusPlus:
    r"""Samples :math:`\mathrm{tr}(Q^\top A Q) + g^\top (I - QQ^\top) A (I - QQ^\top) g`, Q spanning A S.

    Three products per sample: A s, A q and A g. Given Q the samples are independent, so their standard error
    is Hutchinson's for the rest. When there are more of them, Q grows and the earlier g are projected anew.

    Source: Meyer, Musco, Musco and Woodruff, "Hutch++: optimal stochastic trace estimation", 2021.
    """

    cost = 3

    def __init__(self, op: CurvatureOperator, probes: Probes, capacity: int) -> None:
        check_memory(op, 4 * capacity)
        self._op, self._source = op, probes
        self._basis = RangeBasis(op, capacity)
        self._probes = torch.empty(capacity, op.shape[0], dtype=op.dtype, device=op.device)
        self._products = torch.empty_like(self._probes)

    @property
    def count(self) -> int:
        """Number of samples."""
        return self._basis.size

    def extend(self, count: int) -> None:
        """Draw more samples."""
        new = slice(self.count, self.count + count)
        sketch = multiply(self._op, self._source.draw(count))
        self._probes[new] = self._source.draw(count)
        self._products[new] = multiply(self._op, self._probes[new])
        self._basis.extend(sketch)

    def traces(self) -> Samples:
        """Samples of the trace."""
        basis, probes, products = self._basis, self._probes[: self.count], self._products[: self.count]
        cross = small(basis.images, probes) + small(basis.rows, products)
        return self._samples(small(basis.rows, basis.images), paired(probes, products), cross)

    def squares(self) -> Samples:
        """Samples of the squared Frobenius norm."""
        images, products = self._basis.images, self._products[: self.count]
        return self._samples(small(images, images), paired(products, products), 2 * small(images, products))

    def _samples(self, compressed: Tensor, forms: Tensor, cross: Tensor) -> Samples:
        probes = self._probes[: self.count]
        inside = small(self._basis.rows, probes)
        lengths = paired(probes, probes) - inside.square().sum(dim=0)
        factors = scales(self._source.spherical, self._op.shape[0] - self.count, lengths)
        return independent(compressed.trace() + factors * outside(forms, cross, compressed, inside))
