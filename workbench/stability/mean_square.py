"""When the mean square of SGD near a minimum stays bounded: the exact condition, in linear algebra alone."""

import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.curvature import eigenpairs

_NULL = 1e-10  # eigenvalues below this part of the largest are null directions, along which nothing moves
_TOLERANCE = 1e-8


def sampling_weight(examples: int, batch_size: int, *, replacement: bool) -> float:
    r"""Weight p of the noise of single examples in that of a batch.

    .. math:: p = \frac{n - B}{B\,(n - 1)} \ \text{without replacement,} \qquad p = \frac1B \ \text{with it.}

    Source: Mulayoff and Michaeli, arXiv 2306.07850.

    Raises
    ------
    ValueError
        If the batch size is below 1, or above n without replacement.
    """
    check_count("batch_size", batch_size, 1, None if replacement else examples)
    if replacement:
        return 1 / batch_size
    return (examples - batch_size) / (batch_size * (examples - 1)) if examples > 1 else 0.0


class ExampleHessians:
    r"""Hessians :math:`H_i = A_i^\top A_i` of n examples, in the eigenbasis of their mean H.

    Directions that no example feels are left out: d = rank H dimensions are left.

    Parameters
    ----------
    factors : Tensor (n, c, m)
        :math:`A_i`, for m parameters.

    Attributes
    ----------
    values : Tensor (d,)
        Eigenvalues of H above zero, ascending.
    rows : Tensor (n, c, d)
        The factors in the eigenbasis.

    Raises
    ------
    ValueError
        If all factors are zero.
    """

    def __init__(self, factors: Tensor) -> None:
        n, c, parameters = factors.shape
        flat = factors.double().reshape(n * c, parameters)
        gram_side = n * c < parameters
        values, vectors = torch.linalg.eigh((flat @ flat.T if gram_side else flat.T @ flat) / n)
        kept = values > _NULL * values[-1]
        if not kept.any():
            raise ValueError("no example's loss is curved: there is nothing that a step could amplify")
        self.values, vectors = values[kept], vectors[:, kept]
        rows = (n * self.values).sqrt() * vectors if gram_side else flat @ vectors
        self.rows = rows.reshape(n, c, -1)

    @property
    def count(self) -> int:
        """Number of examples n."""
        return len(self.rows)

    def noise(self, matrix: Tensor) -> Tensor:
        r"""Mean over examples of :math:`H_i S H_i` for a symmetric S (d, d)."""
        flat = self.rows.flatten(0, 1)
        middle = (flat @ matrix).view_as(self.rows) @ self.rows.mT
        return flat.T @ (middle @ self.rows).flatten(0, 1) / self.count

    def threshold(self, weight: float) -> tuple[float, float]:
        r"""Largest learning rate at which the mean square stays bounded, and a bound on its error.

        One step of SGD takes the second moment S of the distance to the minimum to
        :math:`S - 2\eta\, C(S) + \eta^2 D(S)` with

        .. math:: C(S) = \tfrac12 (HS + SH), \qquad D(S) = (1-p)\, HSH + p\,\tfrac1n \sum_i H_i S H_i ,

        and S stays bounded if and only if :math:`\eta \le 2 / \lambda_{\max}(C^+ D)`. The largest eigenvalue
        is found by Lanczos' method on symmetric matrices :math:`C^{1/2}(S)`, in the eigenbasis of H, where C
        is diagonal.

        Parameters
        ----------
        weight : float
            p, see :func:`sampling_weight`.

        Notes
        -----
        Cost: some 25 to 50 applications of D, each of 4 n c d² operations; memory 60 d².
        Source: Mulayoff and Michaeli, "Exact mean square linear stability analysis for SGD", 2024,
        arXiv 2306.07850.
        """
        transition = _Transition(self, weight)
        start = transition.root.reshape(-1)  # of S = 1: no direction is left out
        pairs = eigenpairs(transition, 1, tol=_TOLERANCE, start=start, method="lanczos")
        largest, residual = pairs.values[0].item(), pairs.residuals[0].item()
        return 2 / largest, 2 * residual / largest**2

    def alignment(self) -> tuple[float, float]:
        r"""How much of the gradient noise lies where the loss is curved: the smallest and a typical value.

        With the noise covariance :math:`\Sigma` of one example's gradient at a distance :math:`\delta` from
        the minimum,

        .. math:: \mu(\delta) = \frac{\mathrm{tr}(H \Sigma)}{2 L \lVert H \rVert_F^2} =
           \frac{\delta^\top (\frac1n\sum_i H_i H H_i - H^3)\, \delta}
                {\delta^\top H \delta\, \lVert H \rVert_F^2} .

        Returns
        -------
        smallest, typical : float
            Over all :math:`\delta`, and the ratio of both means over isotropic :math:`\delta`.
        """
        noise = self.noise(torch.diag(self.values)) - torch.diag(self.values**3)
        scale = self.values.rsqrt()
        square = self.values.square().sum()
        smallest = torch.linalg.eigvalsh(scale[:, None] * noise * scale)[0] / square
        typical = noise.trace() / self.values.sum() / square
        return max(0.0, smallest.item()), typical.item()


class _Transition:
    """C^(-1/2) D C^(-1/2) as a matrix (d² × d²), for solvers that multiply."""

    dtype, device = torch.float64, torch.device("cpu")

    def __init__(self, hessians: ExampleHessians, weight: float) -> None:
        values = hessians.values
        self.hessians, self.weight = hessians, weight
        self.root = ((values[:, None] + values) / 2).sqrt()
        self.shape = (len(values) ** 2, len(values) ** 2)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        if vectors.dim() == 2:
            return torch.stack([self @ column for column in vectors.T], dim=1)
        d = len(self.root)
        matrix = vectors.view(d, d) / self.root
        # D keeps symmetric matrices symmetric and antisymmetric ones antisymmetric; the largest eigenvalue
        # belongs to a symmetric one, so the rest, which a random start brings in, does no harm.
        full = self.hessians.values[:, None] * matrix * self.hessians.values
        product = (1 - self.weight) * full + self.weight * self.hessians.noise(matrix)
        return (product / self.root).reshape(-1)
