"""``ProblemOperator``: the sum over the batches that all operators of a problem share."""

import abc
import math
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from workbench.batches import Batch, tensors
from workbench.choices import check_choice
from workbench.curvature.operators.autograd import Product, Tensors, hessian_product
from workbench.curvature.operators.base import DENSE_BLOCK, CurvatureOperator
from workbench.curvature.operators.cost import BatchCost, Cost, count_batch, ring_bytes
from workbench.curvature.operators.differences import check_products
from workbench.curvature.operators.footprint import graph_bytes
from workbench.curvature.operators.known_derivatives import KnownDerivatives
from workbench.curvature.operators.process_group import join
from workbench.curvature.operators.second_derivative import (
    check_functions,
    second_derivatives,
    written_by_hand,
)
from workbench.curvature.operators.snapshot import Snapshot
from workbench.curvature.operators.symmetry import check_symmetry
from workbench.curvature.operators.work_plan import STRUCTURED, WorkPlan, arrange_graphs, room_for_columns
from workbench.memory import free_bytes, read_bytes
from workbench.problem import Parameters, Problem
from workbench.random_vectors import generator, random_vectors

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

# Adds share * product(rows) to a total (k, n).
Multiply = Callable[[Product, Tensor, float, Tensor], None]

Measure = TypeVar("Measure")
Form = tuple[tuple[torch.Size, torch.dtype], ...]  # of a batch: shapes and dtypes of its tensors

PLANS = ("fixed", "auto")
_TIMED = 4  # columns of a block that is timed
_PROBED = 8  # examples that the probes look at
_WARNINGS = threading.Lock()  # the filters of warnings belong to the whole process


class ProblemOperator(CurvatureOperator):
    """A curvature matrix of a problem at its present parameters, summed over its batches.

    A new operator is one method, :meth:`_batch_product`. The sum runs in float32 or wider, each batch with
    its share of the loss. What does not depend on the vector is computed once and kept as far as the budget
    goes; :meth:`plan` says what is kept and why. A model, a buffer or a kept batch that changes is noticed at
    the next product, which is refused.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the Hessian of the problem's regulariser and weight decay.
    memory : int or str, optional
        Bytes that may be kept from product to product, e.g. ``"4GB"``; by default a quarter of what is free
        when the first product is asked for. 0 keeps nothing.
    plan : {"fixed", "auto"}
        ``"fixed"`` decides by rules, the same way each time. ``"auto"`` times the candidates on one product
        and takes the fastest, so that repeated runs may differ by rounding.
    check : bool
        Before the first product, probe a small batch for symmetry and against differences of the gradient.
    process_group : torch.distributed.ProcessGroup, optional
        Each of its ranks holds its share of the data in a problem of its own, and makes this operator and
        multiplies at the same time as the others. Products are summed over all ranks.
    """

    _twice = True  # whether products differentiate the model's gradient in the parameters

    def __init__(
        self,
        problem: Problem,
        *,
        regularization: bool = False,
        memory: int | str | None = None,
        plan: str = "fixed",
        check: bool = True,
        process_group: "ProcessGroup | None" = None,
    ) -> None:
        if not isinstance(problem, Problem):
            raise TypeError(f"a {type(problem).__name__} is not a workbench.Problem")
        check_choice("plan", plan, PLANS)
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
        self._memory = None if memory is None else read_bytes(memory)
        self._planning = plan
        self._check = check
        self._process_group = process_group
        self.ranks = join(problem, process_group, f"{type(self).__name__} of {self.terms}")
        self._snapshot = Snapshot(problem)
        self._plan: WorkPlan | None = None
        self._kept: dict[int, tuple[Product, float]] = {}
        self._autocast = self._planned_under = _autocast(self.device)
        self._knows = False  # whether graphs are built of known derivatives; found out with the plan
        self._batches_columns: bool | None = None  # whether all columns at once work; found out when asked

    def plan(self) -> WorkPlan:
        """Return what the operator keeps between products, and why; decided now if it was not yet.

        Each rank of a process group decides for itself: how it computes its part is nobody else's concern.
        Cost: the probes, and for each shape of batch a pass over tensors without content.
        """
        if self._plan is None:
            with torch.inference_mode(False), torch.enable_grad(), second_derivatives():
                self._plan = self._make_plan()
        return self._plan

    def cost(self) -> Cost:
        """Return what a product costs by its plan: arithmetic, bytes, communication; on this rank.

        Nothing is measured: operations are counted, once for each shape of batch, on tensors without content
        where the model can be passed those. The regulariser is left out.
        """
        plan = self.plan()
        held = list(self.problem.state().values())

        def count(batch: Batch) -> BatchCost:
            build = partial(self._build, method=plan.method)
            return count_batch(self.problem.batch_gradient, build, self.problem.leaves(), batch, held)

        with torch.inference_mode(False), torch.enable_grad(), second_derivatives():
            costs = self._by_form(count, plan.pieces)
        vector_bytes = self.shape[0] * self.dtype.itemsize
        kept = [costs[index] for index in plan.kept]
        rebuilt = [cost for index, cost in enumerate(costs) if index not in plan.kept]
        work = [cost.multiplying for cost in kept] + [cost.building for cost in rebuilt]
        return Cost(
            parameters=self.shape[0],
            ranks=self.ranks.size,
            gradient_flops=sum(cost.gradient for cost in costs),
            product_flops=sum(cost.product for cost in costs) + sum(cost.graph for cost in rebuilt),
            setup_flops=sum(cost.graph for cost in kept),
            kept_bytes=plan.kept_bytes,
            live_bytes=max(work) + vector_bytes * (1 if self.ranks.size == 1 else 2),  # and its message
            vector_bytes=vector_bytes,
            communication_bytes=ring_bytes(vector_bytes, self.ranks.size),
        )

    def release(self) -> None:
        """Give back what is kept between products; the next one builds it anew."""
        self._kept.clear()

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
        parameters = self.problem.leaves()
        outputs, loss = self.problem.evaluate(parameters, batch)
        product = self._batch_product(outputs, loss, parameters, batch)
        parts = product(self._split(direction), batched=False)
        return torch.cat([part.reshape(-1).to(self.dtype) for part in parts])

    def gauss_newton(self) -> "ProblemOperator":
        """Return the generalised Gauss-Newton matrix of the same problem."""
        from workbench.curvature.operators.ggn import GGN  # which is a ProblemOperator itself

        return GGN(self.problem)

    def restrict(self, patterns: str | Sequence[str]) -> "ProblemOperator":
        """Return the same operator of the problem in the parameters whose names match."""
        return self.of(
            self.problem.restrict(patterns), memory=self._memory, process_group=self._process_group
        )

    def of(self, problem: Problem, *, memory: int | None = 0, **keywords: Any) -> Self:
        """Return the same operator of another problem, which is not probed."""
        return type(self)(problem, regularization=self.regularization, memory=memory, check=False, **keywords)

    def on_data(self, problem: Problem) -> Self:
        """Return the same operator of the same model on other data, which is not probed.

        Where batches have the shapes of this one's they share a plan, if that leaves most of its budget: a
        graph may be larger for other numbers, as where a mask selects.
        """
        other = self.of(problem, memory=self._memory, plan=self._planning, process_group=self._process_group)
        plan = self._plan
        if plan is None or plan.kept_bytes + plan.live_bytes > plan.budget // 4:
            return other
        if other._forms() == self._forms():
            other._plan, other._knows, other._planned_under = plan, self._knows, self._planned_under
        return other

    def _multiply(self, block: Tensor) -> Tensor:
        return self._accumulate(block)

    def _dense_block(self, block: Tensor) -> Tensor:
        """All columns at once where that is possible and agrees with one column computed alone."""
        return self._accumulate(block, many=True)

    def _accumulate(self, block: Tensor, *, many: bool = False) -> Tensor:
        """Sum over the batches of all ranks, and the regulariser."""
        with torch.inference_mode(False):
            rows = block.T.contiguous()
            rows = rows.clone() if rows.is_inference() else rows
            return self.ranks.sum(lambda: self._part(rows, many), like=rows).T

    def _part(self, rows: Tensor, many: bool) -> Tensor:
        """What this rank adds to the products (k, n).

        After an interrupt or when memory ran out, the traceback would keep graphs alive: its frames are
        cleared.
        """
        try:
            plan = self.plan()
            columns = len(rows) if many else room_for_columns(plan)
            together = plan.at_once or (many and self._can_batch())
            # Under another autocast nobody tried whether columns can be multiplied together.
            together &= len(rows) > 1 and _autocast(self.device) == self._planned_under
            return self._sum(rows, partial(self._at_once, columns=columns) if together else self._loop)
        except (KeyboardInterrupt, torch.OutOfMemoryError) as error:
            traceback.clear_frames(error.__traceback__)
            raise

    def _can_batch(self) -> bool:
        """Whether columns can be multiplied together: they are, and agree with one that is not."""
        if self._batches_columns is None:
            self._batches_columns = self._try_batched()
        return self._batches_columns

    @torch.inference_mode(False)
    def _try_batched(self) -> bool:
        rows = random_vectors(2, self.shape[0], generator(0))  # unit vectors may meet zeros alone
        rows = rows.to(device=self.device, dtype=self.dtype)
        with torch.enable_grad(), second_derivatives():
            product = self._build(self.problem.leaves(), self.problem.small_batch(_PROBED))
            alone = product(self._split(rows[0]), batched=False)
            try:
                with _WARNINGS, warnings.catch_warnings():
                    # torch warns where it would loop inside, at a high price
                    warnings.filterwarnings("error", message="There is a performance drop")
                    together = product(self._split(rows), batched=True)
            except (RuntimeError, NotImplementedError, UserWarning):
                return False
        return self._agree([several[0] for several in together], alone)

    def _agree(self, found: Tensors, expected: Tensors, roundings: int = 100) -> bool:
        """Whether two products are the same, up to so many roundings of the largest entry."""
        scale = max(float(part.abs().max()) for part in (*found, *expected) if part.numel())
        return math.isfinite(scale) and all(
            float((one - other).abs().max()) <= roundings * self.precision * scale
            for one, other in zip(found, expected, strict=True)
            if one.numel()
        )

    def _sum(self, rows: Tensor, multiply: Multiply) -> Tensor:
        total = torch.zeros_like(rows)
        with torch.enable_grad(), second_derivatives():
            for product, share in self._products():
                multiply(product, rows, share, total)
                del product  # the graph goes before the next batch's is built
        return total

    def _products(self) -> Iterator[tuple[Product, float]]:
        """The product of each batch with its share, and on one rank that of the regulariser."""
        plan = self.plan()
        self._drop_outdated()
        whole = len(self._kept) == plan.batches
        for product, share in self._kept.values() if whole else self._built(plan):
            yield product, share * self.ranks.share
            del product  # the graph goes before the next batch's is built
        if self.regularization and self.ranks.rank == 0:
            leaves = self.problem.leaves()
            yield hessian_product(self.problem.regularization(leaves), list(leaves.values())), 1.0

    def _built(self, plan: WorkPlan) -> Iterator[tuple[Product, float]]:
        leaves = self.problem.leaves()
        for index, (batch, share) in enumerate(self.problem.batches()):
            if index in self._kept:
                yield self._kept[index]
            elif index in plan.kept:
                product = self._build(leaves, batch, plan.method)
                self._snapshot.hold(tensors(batch))
                self._kept[index] = product, share
                yield product, share
            else:
                for piece, part in self.problem.pieces(batch, share, plan.pieces):
                    yield self._build(leaves, piece, plan.method), part

    def _drop_outdated(self) -> None:
        """Refuse what changed; drop graphs that torch would refuse, or that another autocast made."""
        autocast = _autocast(self.device)
        if not self._snapshot.is_current() or autocast != self._autocast:
            self._kept.clear()
            self._snapshot = Snapshot(self.problem)
            self._autocast = autocast

    def _build(self, leaves: Parameters, batch: Batch, method: str = "recompute") -> Product:
        if self._knows:
            try:
                with KnownDerivatives(twice=self._twice):
                    outputs, loss = self.problem.evaluate(leaves, batch)
                return self._batch_product(outputs, loss, leaves, batch)
            except CheckpointError:  # of a block that this batch computes again, outside of the context
                self._knows = False
        outputs, loss = self.problem.evaluate(leaves, batch)
        return self._batch_product(outputs, loss, leaves, batch)

    def _make_plan(self) -> WorkPlan:
        self._planned_under = _autocast(self.device)
        self._probe()
        self._knows = self._knows_rightly()
        # A quarter: several operators live side by side, as the runs of a sweep do.
        budget = free_bytes(self.device) // 4 if self._memory is None else self._memory
        if self._planning == "auto":
            return self._fastest(self._candidates(budget))
        return self._arrange(budget)

    def _candidates(self, budget: int) -> list[WorkPlan]:
        """Plans that keep the budget and differ in their method."""
        plans = [self._arrange(budget), self._arrange_graphs(budget), self._arrange_graphs(0)]
        return list({plan.method: plan for plan in reversed(plans)}.values())

    def _fastest(self, plans: list[WorkPlan]) -> WorkPlan:
        """Time a product of each, of one column and of several together where that works."""
        several = self._can_batch()
        measured: dict[str, float] = {}
        for plan in plans:
            measured[plan.method] = self._time(replace(plan, at_once=False), 1)
            if several or plan.method == STRUCTURED:
                measured[f"{plan.method}, together"] = self._time(replace(plan, at_once=True), _TIMED)
        best = min(plans, key=lambda plan: measured[plan.method])
        together = measured.get(f"{best.method}, together", math.inf) < measured[best.method]
        return replace(
            best, reason=f"the fastest of {len(plans)}; {best.reason}", at_once=together, measured=measured
        )

    def _time(self, plan: WorkPlan, columns: int) -> float:
        """Seconds per column, what is kept being there already."""
        rows = torch.ones(columns, self.shape[0], dtype=self.dtype, device=self.device)
        self._plan = plan
        self._kept.clear()
        try:
            seconds = []
            for _ in range(3):
                started = time.perf_counter()
                self._sum(rows, self._at_once if plan.at_once else self._loop)
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
                seconds.append(time.perf_counter() - started)
            return min(seconds[1:]) / columns
        finally:
            self._plan = None
            self._kept.clear()

    def _probe(self) -> None:
        """Look at a small batch for what products cannot be trusted with."""
        leaves, batch = self.problem.leaves(), self.problem.small_batch(_PROBED)
        _, loss = self.problem.evaluate(leaves, batch)
        check_functions(loss)
        functions = written_by_hand(loss)
        if self._check:
            check_symmetry(self, batch)
            check_products(self, batch, functions)

    def _knows_rightly(self) -> bool:
        """Whether known derivatives are used, and agree with torch's own on a small batch.

        They do not where the model differentiates inside; where it computes blocks again, these fail. The
        rounding of a coarse dtype would hide that.
        """
        if self.precision > torch.finfo(torch.float32).eps:
            return False
        leaves, batch = self.problem.leaves(), self.problem.small_batch(_PROBED)
        try:
            with KnownDerivatives(twice=self._twice) as known:
                outputs, loss = self.problem.evaluate(leaves, batch)
            if not known.met:
                return False
            row = random_vectors(1, self.shape[0], generator(0))[0].to(device=self.device, dtype=self.dtype)
            found = self._batch_product(outputs, loss, leaves, batch)(self._split(row), batched=False)
        except (RuntimeError, TypeError, ValueError):
            return False
        return self._agree(found, self._build(leaves, batch)(self._split(row), batched=False))

    def _arrange(self, budget: int) -> WorkPlan:
        """Decide by rules."""
        return self._arrange_graphs(budget)

    def _arrange_graphs(self, budget: int) -> WorkPlan:
        if not budget:
            return WorkPlan("recompute", "nothing may be kept", 0, batches=self.problem.num_batches)
        plan = arrange_graphs(self._graph_sizes(), budget, splits=self.problem.can_split)
        if self._knows and len(plan.kept) < plan.batches:
            # Known second derivatives take room that graphs may need.
            self._knows = False
            smaller = arrange_graphs(self._graph_sizes(), budget, splits=self.problem.can_split)
            if len(smaller.kept) > len(plan.kept):
                return smaller
            self._knows = True
        return plan

    def _graph_sizes(self) -> list[int]:
        """Bytes of each batch's graph."""
        leaves, held = self.problem.leaves(), list(self.problem.state().values())
        return self._by_form(lambda batch: graph_bytes(self._build, leaves, batch, held))

    def _by_form(self, measure: Callable[[Batch], Measure], pieces: int = 1) -> list[Measure]:
        """What is measured of each batch, or of each of its pieces, once for each shape."""
        known: dict[Form, Measure] = {}
        measures = []
        for batch, share in self.problem.batches():
            for piece, _ in self.problem.pieces(batch, share, pieces):
                form = _form(piece)
                if form not in known:
                    known[form] = measure(piece)
                measures.append(known[form])
        return measures

    def _forms(self) -> list[Form]:
        return [_form(batch) for batch, _ in self.problem.batches()]

    def _loop(self, product: Product, rows: Tensor, share: float, total: Tensor) -> None:
        for row, sum_ in zip(rows, total, strict=True):
            parts = product(self._split(row), batched=False)
            for part, slice_ in zip(parts, self.layout, strict=True):
                sum_[slice_.start : slice_.stop].add_(part.reshape(-1).to(self.dtype), alpha=share)

    def _at_once(
        self, product: Product, rows: Tensor, share: float, total: Tensor, *, columns: int = DENSE_BLOCK
    ) -> None:
        for some, sums in zip(rows.split(columns), total.split(columns), strict=True):
            self._add(product(self._split(some), batched=True), share, sums)

    def _add(self, parts: Tensors, share: float, total: Tensor) -> None:
        """Add one tensor (k, …) per parameter to a total (k, n)."""
        for part, slice_ in zip(parts, self.layout, strict=True):
            flat = part.reshape(part.shape[0], -1).to(self.dtype)
            total[:, slice_.start : slice_.stop].add_(flat, alpha=share)

    def _split(self, vectors: Tensor) -> Tensors:
        """One tensor per parameter from a vector (n,) or from rows (k, n)."""
        lead = vectors.shape[:-1]
        return [vectors[..., s.start : s.stop].reshape((*lead, *s.shape)) for s in self.layout]


def _form(batch: Batch) -> Form:
    return tuple((tensor.shape, tensor.dtype) for tensor in tensors(batch))


def _autocast(device: torch.device) -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
