"""``ProblemOperator``: the loop over the batches that all operators of a problem share."""

import abc
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from workbench.curvature.operators.autograd import Tensors, differentiable_gradient, vector_products
from workbench.curvature.operators.base import CurvatureOperator
from workbench.curvature.operators.differences import check_products
from workbench.curvature.operators.second_derivative import (
    check_functions,
    second_derivatives,
    written_by_hand,
)
from workbench.problem import Parameters, Problem
from workbench.random_vectors import generator, random_vectors

# Multiplies one tensor per parameter; with ``batched=True`` each has a leading dimension of columns.
Product = Callable[..., Tensors]
# Adds share * product(rows) to a total (k, n).
Multiply = Callable[[Product, Tensor, float, Tensor], None]

_WARNINGS = threading.Lock()  # the filters of warnings belong to the whole process


class ProblemOperator(CurvatureOperator):
    """A curvature matrix of a problem, summed over its batches.

    A new operator is one method, :meth:`_batch_product`. The sum runs in float32 or wider, each batch with
    its share of the loss; per ``@`` the graph of a batch is built once and serves all columns.

    Parameters
    ----------
    problem : Problem
        What is analysed; its parameters are read anew at each product.
    regularization : bool
        Add the Hessian of the problem's regulariser and weight decay.
    """

    def __init__(self, problem: Problem, *, regularization: bool = False) -> None:
        if not isinstance(problem, Problem):
            raise TypeError(f"a {type(problem).__name__} is not a workbench.Problem")
        super().__init__(
            problem.num_parameters,
            torch.promote_types(problem.dtype, torch.float32),
            problem.device,
            precision=torch.finfo(problem.coarsest_dtype).eps,
            layout=problem.layout,
            terms=problem.terms(regularization),
        )
        self.problem = problem
        self.regularization = regularization
        self._checked = False
        self._batches_columns: bool | None = None  # whether all columns at once work; found out by dense()

    @abc.abstractmethod
    def _batch_product(self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Any) -> Product:
        """Build the graph of one batch and return what multiplies with its curvature matrix.

        The graph has to be held by arguments of a ``functools.partial`` (see :func:`hessian_product`).

        Parameters
        ----------
        outputs : pytree of Tensor
            The model's outputs for the batch, with their graph.
        loss : Tensor ()
            The batch's loss, with its graph.
        parameters : dict of Tensor
            The leaves that vectors belong to, by name.
        batch : any
            The batch itself.
        """

    def batch_difference(self, batch: Any, direction: Tensor, step: float) -> Tensor:
        """Product (n,) with one batch's matrix by central differences of first derivatives.

        This one is of the Hessian: differences of the gradient.
        """
        theta = self.problem.parameters_vector()
        ends = [
            self.problem.batch_gradient(self.problem.as_parameters(theta + shift * direction), batch)
            for shift in (step, -step)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    def batch_column(self, batch: Any, direction: Tensor) -> Tensor:
        """Product (n,) of one batch's matrix with a vector (n,)."""
        parameters = self._leaves()
        outputs, loss = self.problem.evaluate(parameters, batch)
        product = self._batch_product(outputs, loss, parameters, batch)
        return torch.cat([part.reshape(-1) for part in product(self._split(direction), batched=False)])

    def gauss_newton(self) -> "ProblemOperator":
        """Return the generalised Gauss-Newton matrix of the same problem."""
        from workbench.curvature.operators.ggn import GGN  # which is a ProblemOperator itself

        return GGN(self.problem)

    def of(self, problem: Problem) -> Self:
        """Return the same operator of another problem."""
        return type(self)(problem, regularization=self.regularization)

    def _multiply(self, block: Tensor) -> Tensor:
        return self._accumulate(block, self._loop)

    def _dense_block(self, block: Tensor) -> Tensor:
        """All columns at once where that is possible and agrees with one column computed alone."""
        if self._batches_columns is None:
            self._batches_columns = self._try_batched(block)
        return self._accumulate(block, self._at_once if self._batches_columns else self._loop)

    def _try_batched(self, block: Tensor) -> bool:
        vectors = random_vectors(2, self.shape[0], generator(0)).T.to(block)  # unit ones may meet zeros alone
        alone = self._accumulate(vectors[:, :1], self._loop)
        try:
            with _WARNINGS, warnings.catch_warnings():
                # torch warns where it would loop inside, at a high price
                warnings.filterwarnings("error", message="There is a performance drop")
                together = self._accumulate(vectors, self._at_once)[:, :1]
        except (RuntimeError, NotImplementedError, UserWarning):
            return False
        scale = max(alone.abs().max().item(), together.abs().max().item())
        return (together - alone).abs().max().item() <= 100 * self.precision * scale

    def _accumulate(self, block: Tensor, multiply: Multiply) -> Tensor:
        """Sum over the batches, then the regulariser; nothing of it outlives this call.

        After an interrupt or when memory ran out, the traceback would keep graphs alive: its frames are
        cleared.
        """
        try:
            return self._sum(block, multiply)
        except (KeyboardInterrupt, torch.OutOfMemoryError) as error:
            traceback.clear_frames(error.__traceback__)
            raise

    @torch.inference_mode(False)
    def _sum(self, block: Tensor, multiply: Multiply) -> Tensor:
        rows = block.T.contiguous()
        rows = rows.clone() if rows.is_inference() else rows
        total = torch.zeros_like(rows)
        with torch.enable_grad(), second_derivatives():
            for product, share in self._products():
                multiply(product, rows, share, total)
                del product  # the graph goes before the next batch's is built
        return total.T

    def _products(self) -> Iterator[tuple[Product, float]]:
        """The product of each batch with its share, and of the regulariser."""
        parameters = self._leaves()
        for batch, share in self.problem.batches():
            outputs, loss = self.problem.evaluate(parameters, batch)
            if not self._checked:
                self._check(loss)
            yield self._batch_product(outputs, loss, parameters, batch), share
            del outputs, loss
        if self.regularization:
            yield (
                hessian_product(self.problem.regularization(parameters), list(parameters.values())),
                1.0,
            )

    def _leaves(self) -> Parameters:
        return {name: p.detach().requires_grad_() for name, p in self.problem.parameters().items()}

    def _check(self, loss: Tensor) -> None:
        check_functions(loss)
        functions = written_by_hand(loss)
        if functions:
            check_products(self, functions)
        self._checked = True

    def _loop(self, product: Product, rows: Tensor, share: float, total: Tensor) -> None:
        for row, sum_ in zip(rows, total, strict=True):
            parts = product(self._split(row), batched=False)
            for part, slice_ in zip(parts, self.layout, strict=True):
                sum_[slice_.start : slice_.stop].add_(part.reshape(-1).to(self.dtype), alpha=share)

    def _at_once(self, product: Product, rows: Tensor, share: float, total: Tensor) -> None:
        parts = product(self._split(rows), batched=True)
        for part, slice_ in zip(parts, self.layout, strict=True):
            flat = part.reshape(part.shape[0], -1).to(self.dtype)
            total[:, slice_.start : slice_.stop].add_(flat, alpha=share)

    def _split(self, vectors: Tensor) -> Tensors:
        """One tensor per parameter from a vector (n,) or from rows (k, n)."""
        lead = vectors.shape[:-1]
        return [vectors[..., s.start : s.stop].reshape((*lead, *s.shape)) for s in self.layout]


def hessian_product(scalar: Tensor, leaves: Sequence[Tensor]) -> Product:
    """Return what multiplies with the Hessian of a scalar, by double backward on its retained graph.

    A ``partial``, not a closure: a frame in a kept traceback would hold a closure, and with it the graph.
    """
    return partial(vector_products, differentiable_gradient([scalar], leaves), leaves)
