"""``Recurrences``: Lanczos processes side by side by their three-term recurrence, for quadrature."""

import numpy as np
import torch
from torch import Tensor

from workbench.curvature.lanczos import ROUNDINGS

_PART = 1 << 14  # entries of each row that are summed before float64 takes over


class Recurrences:
    r"""Tridiagonal projections T of A onto the Krylov spaces of several start vectors.

    The caller multiplies, ``processes.absorb((op @ processes.newest.T).T)``, and each process goes on by
    :math:`\beta_{j+1} v_{j+1} = A v_j - \alpha_j v_j - \beta_j v_{j-1}`.

    In rounded arithmetic new vectors turn back to the eigenvectors that have been found, and copies of their
    eigenvalues appear. These share the weight of the first, so that sums over the measure stay what they are,
    but each copy takes the place of a node elsewhere. Outliers do this soon and often. So a number of first
    vectors is kept and new ones made orthogonal to them; after that only the Ritz vectors stand guard that
    have converged by then (selective orthogonalisation, looked at once). What converges later may be copied:
    eigenvalues that are to be counted, and eigenvectors, want :class:`~.lanczos.Lanczos`.

    An operator that is not symmetric shows in :math:`v_{j-1}^\top A v_j - v_j^\top A v_{j-1}`, whose products
    are both there.

    Parameters
    ----------
    starts : Tensor (k, n)
        Any rows but zero, overwritten; their dtype is that of the vectors.
    steps : int
        Largest number of steps.
    precision : float
        Relative rounding error of a product.
    guarded : int
        Steps after which converged Ritz vectors alone are kept; with as many as there are steps, all vectors.
    removed : Tensor (n, m), optional
        Orthonormal columns: all vectors are kept orthogonal to them, so that A is what it is on their
        complement.

    Attributes
    ----------
    sizes : ndarray of int (k,)
        Steps of each process so far.
    closed : ndarray of bool (k,)
        Which of them met an invariant subspace, so that their rules have no error.

    Source: Paige, "Computational variants of the Lanczos method for the eigenproblem", 1972; Parlett and
    Scott, "The Lanczos algorithm with selective orthogonalization", 1979; Greenbaum, "Behavior of slightly
    perturbed Lanczos and conjugate-gradient recurrences", 1989, for what rounding does.
    """

    def __init__(
        self, starts: Tensor, steps: int, precision: float, guarded: int, removed: Tensor | None = None
    ) -> None:
        count, size = starts.shape
        self.steps = steps
        self.precision = precision
        self.sizes = np.zeros(count, dtype=int)
        self.closed = np.zeros(count, dtype=bool)
        self._guarded = min(guarded, steps)
        self._removed = removed
        self._diagonals = np.zeros((count, steps))
        self._couplings = np.zeros((count, steps + 1))  # entry j leads to vector j
        self._norms = np.zeros(count)
        self._squared_skews = np.zeros(count)
        self._active = np.arange(count)
        self._guards = starts.new_empty(count, self._guarded, size)
        self._guarding = 0  # how many of each process' guards there are
        self._rows = self._orthogonalized(starts)
        self._rows /= _dots(self._rows, self._rows).sqrt().to(starts)[:, None]
        self._previous = torch.zeros_like(self._rows)
        self._previous_products = torch.zeros_like(self._rows)

    @property
    def newest(self) -> Tensor:
        """The vectors that wait for their products, as rows, of the processes that go on."""
        return self._rows

    @property
    def done(self) -> bool:
        """Whether no process goes on."""
        return not len(self._active)

    @property
    def norm(self) -> float:
        """Lower bound on the spectral norm of A on the complement, from the products seen."""
        return float(self._norms.max())

    @property
    def skew(self) -> float:
        r"""Frobenius norm of what :math:`V^\top (A - A^\top) V` has beside its diagonal, the largest."""
        return float(np.sqrt(2 * self._squared_skews.max()))

    def absorb(self, products: Tensor) -> None:
        """Take A times :attr:`newest`, as rows, and make the next step of each process.

        Raises
        ------
        ValueError
            If a product is not finite.
        """
        active, rows, previous = self._active, self._rows, self._previous
        step = int(self.sizes[active[0]])
        coupling = torch.from_numpy(self._couplings[active, step]).to(rows)[:, None]
        diagonal = _dots(rows, products)
        skew = _dots(previous, products) - _dots(self._previous_products, rows)
        if step < self._guarded:
            self._guards[:, step] = rows
            self._guarding = step + 1
        # In the memory of the vectors that no one needs any more.
        rest = previous.mul_(-coupling).addcmul_(rows, diagonal.to(rows)[:, None], value=-1).add_(products)
        rest = self._orthogonalized(rest)
        lengths = _dots(rest, rest).sqrt()
        found = torch.stack([diagonal, lengths, skew]).cpu().numpy()
        if not np.isfinite(found).all():
            raise ValueError("a product with the operator is not finite: is the loss finite here?")
        self._record(step, *found)
        self._previous, self._previous_products = rows, products
        self._rows = rest.div_(lengths.to(rows)[:, None])
        self._retire()
        if step + 1 == self._guarded < self.steps:
            self._dismiss()

    def rules(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return nodes, ascending, and weights, summing to 1, of each process' quadrature."""
        rules = []
        for index in range(len(self.sizes)):
            nodes, coordinates = self._ritz(index)
            weights = coordinates[0] ** 2
            heavy = weights > 0  # a copy may have none at all
            rules.append((nodes[heavy], weights[heavy]))
        return rules

    def _ritz(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values, ascending, of one process, and their coordinates as columns."""
        size = self.sizes[index]
        beside = self._couplings[index, 1:size]
        return np.linalg.eigh(
            np.diag(self._diagonals[index, :size]) + np.diag(beside, 1) + np.diag(beside, -1)
        )

    def _record(self, step: int, diagonal: np.ndarray, lengths: np.ndarray, skew: np.ndarray) -> None:
        active = self._active
        columns = np.sqrt(diagonal**2 + self._couplings[active, step] ** 2 + lengths**2)
        self._norms[active] = np.maximum(self._norms[active], columns)
        self._squared_skews[active] += skew**2
        self._diagonals[active, step] = diagonal
        self._couplings[active, step + 1] = lengths
        self.closed[active] = lengths <= ROUNDINGS * self.precision * self._norms[active]
        self.sizes[active] = step + 1  # last: an interrupt before it leaves the rules as they were

    def _retire(self) -> None:
        """Let the processes that are finished go."""
        goes_on = ~self.closed[self._active] & (self.sizes[self._active] < self.steps)
        if not goes_on.all():
            self._active = self._active[goes_on]
            kept = torch.from_numpy(np.flatnonzero(goes_on)).to(self._rows.device)
            self._rows, self._previous, self._previous_products, self._guards = (
                each[kept] for each in (self._rows, self._previous, self._previous_products, self._guards)
            )

    def _dismiss(self) -> None:
        """Keep of the guards the Ritz vectors that have converged, filled up with zeros."""
        converged = []
        for index in self._active.tolist():
            values, coordinates = self._ritz(index)
            residuals = self._couplings[index, self.sizes[index]] * np.abs(coordinates[-1])
            converged.append(coordinates[:, residuals <= np.sqrt(self.precision) * np.abs(values)])
        self._guarding = max((found.shape[1] for found in converged), default=0)
        guards = self._rows.new_zeros(len(converged), self._guarding, self._rows.shape[1])
        for few, all_, found in zip(guards, self._guards, converged, strict=True):
            few[: found.shape[1]] = torch.from_numpy(found.T.copy()).to(all_) @ all_
        self._guards = guards

    def _orthogonalized(self, rows: Tensor) -> Tensor:
        """Make rows (k, n) orthogonal, in place, to what was removed and each to its own guards."""
        if self._removed is not None:
            rows.addmm_(rows @ self._removed, self._removed.T, alpha=-1)
        for row, guards in zip(rows, self._guards[:, : self._guarding], strict=True):
            row.addmv_(guards.T, guards @ row, alpha=-1)
        return rows


def _dots(left: Tensor, right: Tensor) -> Tensor:
    """Inner product (k,) of each row with its like, in float64 over parts that a cache holds.

    A float32 sum over a whole row would be off by 1e-6, which a Ritz value that has converged shows.
    """
    parts = zip(left.split(_PART, dim=1), right.split(_PART, dim=1), strict=True)
    return torch.stack([torch.linalg.vecdot(x, y).double() for x, y in parts]).sum(dim=0)
