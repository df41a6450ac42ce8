"""An operator without some of its eigenvectors."""

import torch
from torch import Tensor

from workbench.curvature.operators.base import CurvatureOperator


class Deflated(CurvatureOperator):
    r"""The matrix :math:`(I - UU^\top) A (I - UU^\top)`: A on the complement of some vectors, zero on them.

    Parameters
    ----------
    whole : CurvatureOperator
    vectors : Tensor (n, m)
        Independent columns, such as eigenvectors; U is an orthonormal basis of them.
    """

    def __init__(self, whole: CurvatureOperator, vectors: Tensor) -> None:
        super().__init__(
            whole.shape[0],
            whole.dtype,
            whole.device,
            precision=whole.precision,
            layout=whole.layout,
            terms=f"{whole.terms}, less {vectors.shape[1]} vectors",
        )
        self.whole = whole
        self._basis = torch.linalg.qr(vectors.to(device=whole.device, dtype=whole.dtype))[0]

    def project(self, block: Tensor) -> Tensor:
        """Remove what lies along the vectors, from a vector (n,) or from columns (n, k)."""
        return block - self._basis @ (self._basis.T @ block)

    def _multiply(self, block: Tensor) -> Tensor:
        return self.project(self.whole @ self.project(block))
