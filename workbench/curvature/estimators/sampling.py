"""Probes, products that are checked, and the loop that adds samples until they suffice."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from workbench.curvature.operators import CurvatureOperator
from workbench.memory import free_bytes, show_bytes
from workbench.random_vectors import generator, random_vectors
from workbench.result import standard_error

DISTRIBUTIONS = ("rademacher", "sphere", "gaussian")
BLOCK = 10  # samples per pass over the data; also the fewest that a standard error is believed from


class Probes:
    """Random vectors with E[v vᵀ] = I, the same for the same seed however they are asked for.

    Parameters
    ----------
    op : CurvatureOperator
        Whose size, dtype and device they have.
    distribution : {"rademacher", "sphere", "gaussian"}
        Signs, uniform on the sphere of radius √n, or normal.
    seed : int
        Of the generator.
    """

    def __init__(self, op: CurvatureOperator, distribution: str, seed: int) -> None:
        self.spherical = distribution == "sphere"
        self._op = op
        self._kind = "rademacher" if distribution == "rademacher" else "gaussian"
        self._source = generator(seed)

    def draw(self, count: int) -> Tensor:
        """Return the next vectors, as rows (count, n)."""
        n = self._op.shape[0]
        rows = random_vectors(count, n, self._source, self._kind)
        if self.spherical:
            rows *= math.sqrt(n) / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return rows.to(device=self._op.device, dtype=self._op.dtype)


class Samples(NamedTuple):
    """Numbers whose mean is an estimate, and the standard error of that mean."""

    values: Tensor  # (count,), float64 on the CPU
    stderr: float

    @property
    def mean(self) -> float:
        """The estimate."""
        return self.values.mean().item()


class Sampler(Protocol):
    """What an estimator of the trace and of the squared Frobenius norm has drawn so far."""

    cost: int  # products per sample

    @property
    def count(self) -> int:
        """Number of samples; an interrupted ``extend`` leaves it as it was."""

    def extend(self, count: int) -> None:
        """Draw more samples."""

    def traces(self) -> Samples:
        """Samples of the trace."""

    def squares(self) -> Samples:
        """Samples of the squared Frobenius norm."""


def independent(values: Tensor) -> Samples:
    """Samples that know nothing of each other."""
    return Samples(values, float(standard_error(values.numpy())))


def sample(
    extend: Callable[[int], None],
    most: int,
    advance: Callable[[int], object],
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Draw ``most`` samples, or fewer if they are enough: asked whenever there are a quarter more."""
    count = asked = 0
    while count < most:
        block = min(BLOCK, most - count)
        extend(block)
        count += block
        advance(block)
        if count - asked >= max(BLOCK, asked // 4):
            asked = count
            if enough():
                return


def multiply(op: CurvatureOperator, rows: Tensor) -> Tensor:
    """Return A @ v for every row v, as rows.

    Raises
    ------
    ValueError
        If a product is not finite.
    """
    return finite(op @ rows.T.contiguous()).T.contiguous()


def finite(products: Tensor) -> Tensor:
    """Return the products themselves.

    Raises
    ------
    ValueError
        If one is not finite.
    """
    if not torch.isfinite(products).all():
        raise ValueError("a product with the operator is not finite: is the loss finite here?")
    return products


def check_memory(op: CurvatureOperator, vectors: int) -> None:
    """Refuse to keep more vectors than half of the free memory holds.

    Raises
    ------
    ValueError
        If there is not enough.
    """
    needed = vectors * op.shape[0] * op.dtype.itemsize
    if needed > free_bytes(op.device) // 2:
        raise ValueError(
            f"{vectors} vectors of length {op.shape[0]} take {show_bytes(needed)}, more than half of the "
            "free memory: lower max_matvecs, or use method='hutchinson', which keeps none"
        )
