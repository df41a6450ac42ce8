"""``linear_stability``: whether SGD of some batch size and learning rate stays at a minimum."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.curvature import eigenpairs, frobenius_norm, ggn
from workbench.problem import Problem
from workbench.progress import progress
from workbench.stability.example_curvature import example_factors, is_quadratic, refuse_other_than_mean
from workbench.stability.linear_limits import CONDITIONS, LinearStability
from workbench.stability.mean_square import ExampleHessians, sampling_weight

EXACT_ROWS = 1500  # outputs of all examples up to which the Gram matrix of their gradients is solved
EXACT_BYTES = 1e9  # of those gradients
EXACT_RANK = 600  # up to which the exact threshold is searched for
_FROBENIUS = 0.01  # relative standard error of a sampled Frobenius norm
PROBES = 400  # products at most for it


def linear_stability(
    problem: Problem,
    learning_rate: float,
    batch_size: int | Sequence[int],
    *,
    replacement: bool = False,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> LinearStability:
    r"""Ask whether SGD stays at the problem's parameters, taken as a minimum that fits every example.

    Near such a minimum a batch's gradient is the mean of :math:`H_i (\theta - \theta^*)`, so SGD is linear
    with random matrices. Small problems get the exact learning rate beyond which the mean square distance
    grows, others bounds on both sides of it; :class:`LinearStability` lists them.

    Parameters
    ----------
    problem : Problem
        Its loss is the mean over examples, convex in the outputs; its scale (½‖·‖² or a mean over outputs)
        counts. Where it is not at a minimum of every example, the result says so, and is about the
        Gauss-Newton matrix there. Its weight decay and regularizer are left out, which the result says, too.
    learning_rate : float
        Of plain SGD, above 0.
    batch_size : int or sequence of int
        Examples in a batch.
    replacement : bool
        Whether the examples of a batch are drawn with replacement. Batches are independent of each other; an
        epoch in a fixed random order is only close to that.
    tolerance : float
        Loss up to which the point counts as interpolating.
    seed : int
        Of the random vectors for large problems.

    Raises
    ------
    ValueError
        If the learning rate is not positive, a batch size is out of range, examples count unequally, the loss
        is a sum or not convex in the outputs, or nothing is curved.
    TypeError
        If the learning rate is not a number or a batch size not a whole number.

    Notes
    -----
    Cost: one forward and c backward passes of each example, one by one. Up to 1500 outputs over all examples
    (whose gradients fit into 1 GB) all figures come from them in float64, the exact threshold up to rank 600;
    beyond, the largest eigenvalue and the Frobenius norm of H are searched for and sampled with some hundred
    products, and neither the exact threshold nor the alignment is computed.

    Sources: Mulayoff and Michaeli, arXiv 2306.07850 (exact threshold, dependence on the batch size); Wu and
    Su, arXiv 2305.17490 (trace); Wu, Wang and Su, "The alignment property of SGD noise and how it helps
    select flat minima", 2022 (Frobenius norm). With c > 1 outputs the curvature of an example has rank c
    instead of 1: derived here.
    """
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, Real):
        raise TypeError(f"learning_rate={learning_rate!r} is a {type(learning_rate).__name__}, not a number")
    if not learning_rate > 0 or math.isinf(learning_rate):
        raise ValueError(f"learning_rate={learning_rate} is out of range: it must be positive and finite")
    refuse_other_than_mean(problem)
    n = problem.num_examples
    given = list(batch_size) if isinstance(batch_size, Iterable) else [batch_size]
    for size in given:
        check_count("batch_size", size, 1, None if replacement else n)
    sizes = sorted({int(size) for size in given})
    check_count("number of batch sizes", len(sizes))
    weights = np.array([sampling_weight(n, size, replacement=replacement) for size in sizes])
    curvature, hessians = _measure(problem, seed)
    limits, errors = _bounds(curvature, weights)
    if hessians is not None and curvature.rank <= EXACT_RANK:
        with progress("exact thresholds", len(sizes)) as advance:
            for place, weight in enumerate(weights):
                limits["exact"][place], errors["exact"][place] = hessians.threshold(float(weight))
                advance(1)
    return LinearStability(
        learning_rate=float(learning_rate),
        batch_sizes=np.array(sizes),
        limits=limits,
        errors=errors,
        examples=n,
        outputs=curvature.outputs,
        replacement=replacement,
        loss=problem.loss_at(),
        tolerance=tolerance,
        quadratic=is_quadratic(problem),
        trace=curvature.trace,
        frobenius=curvature.frobenius,
        frobenius_error=curvature.frobenius_error,
        example_frobenius=math.sqrt(curvature.example_squares),
        largest=curvature.largest,
        largest_error=curvature.largest_error,
        alignment=curvature.alignment,
        typical_alignment=curvature.typical_alignment,
        rank=curvature.rank,
        matvecs=curvature.matvecs,
        left_out=_left_out(problem),
    )


def _left_out(problem: Problem) -> tuple[str, ...]:
    """What the problem adds to the loss of its examples."""
    decay = (f"weight_decay={problem.weight_decay:g}",) if problem.weight_decay else ()
    return decay if problem.regularizer is None else (*decay, "regularizer")


@dataclasses.dataclass(frozen=True)
class _Curvature:
    """What the limits are made of; the fields of ``LinearStability``, and what else the bounds need.

    Attributes
    ----------
    example_squares : float
        Mean of the squared Frobenius norms of single examples' curvatures.
    along : float
        Mean over examples of (v·Hᵢv)² along the top eigenvector of H.
    steepest : float
        Largest eigenvalue of a single example's curvature.
    """

    outputs: int
    trace: float
    frobenius: float
    frobenius_error: float
    example_squares: float
    largest: float
    largest_error: float
    along: float
    steepest: float
    alignment: float = math.nan
    typical_alignment: float = math.nan
    rank: int = -1
    matvecs: int = 0


def _measure(problem: Problem, seed: int) -> tuple[_Curvature, ExampleHessians | None]:
    """All sums over the examples, from their gradients at once if they fit, else one by one."""
    factors = example_factors(problem)
    first = next(factors)
    if fits_whole(first, problem.num_examples):
        hessians = ExampleHessians(torch.stack([first, *factors]))
        return _from_all(hessians), hessians
    factors.close()
    return _one_by_one(problem, seed), None


def fits_whole(factor: Tensor, examples: int) -> bool:
    """Whether the factors of all examples are few and small enough to be used at once, by one of them."""
    rows = len(factor) * examples
    return rows <= EXACT_ROWS and rows * factor.shape[1] * 8 <= EXACT_BYTES


def _from_all(hessians: ExampleHessians) -> _Curvature:
    smallest, typical = hessians.alignment()
    sums = _Sums(torch.eye(len(hessians.values), dtype=torch.float64)[-1])
    for rows in hessians.rows:
        sums.add(rows)
    frobenius = hessians.values.norm().item()
    rounding = torch.finfo(torch.float64).eps * hessians.values.sum().item()
    return sums.curvature(
        frobenius=frobenius,
        frobenius_error=0.0,
        largest=hessians.values[-1].item(),
        largest_error=rounding,
        alignment=smallest,
        typical_alignment=typical,
        rank=len(hessians.values),
    )


def _one_by_one(problem: Problem, seed: int) -> _Curvature:
    matrix = ggn(problem)
    before = matrix.matvecs
    pairs = eigenpairs(matrix, 1, seed=seed)
    norm = frobenius_norm(matrix, method="xtrace", rtol=_FROBENIUS, max_matvecs=PROBES, seed=seed)
    if pairs.interrupted or not math.isfinite(norm.value):
        raise KeyboardInterrupt
    sums = _Sums(pairs.vectors[:, 0].double().cpu())
    for factor in example_factors(problem):
        sums.add(factor)
    return sums.curvature(
        frobenius=norm.value,
        frobenius_error=norm.stderr,
        largest=pairs.values[0].item(),
        largest_error=pairs.residuals[0].item(),
        matvecs=matrix.matvecs - before,
    )


class _Sums:
    """Sums over examples, along the vector v (m,) too."""

    def __init__(self, vector: Tensor) -> None:
        self.vector = vector
        self.count, self.outputs = 0, 0
        self.trace = self.squares = self.along = self.steepest = 0.0

    def add(self, factor: Tensor) -> None:
        """Add the example whose curvature is AᵀA for this factor A (c, m)."""
        values = torch.linalg.eigvalsh(factor @ factor.T)
        self.count, self.outputs = self.count + 1, len(factor)
        self.trace += values.sum().item()
        self.squares += values.square().sum().item()
        self.along += (factor @ self.vector).square().sum().item() ** 2
        self.steepest = max(self.steepest, values[-1].item())

    def curvature(self, **known: float) -> _Curvature:
        """All sums as means, with what is known of H itself."""
        return _Curvature(
            outputs=self.outputs,
            trace=self.trace / self.count,
            example_squares=self.squares / self.count,
            along=self.along / self.count,
            steepest=self.steepest,
            **known,  # type: ignore[arg-type]
        )


def _bounds(
    curvature: _Curvature, weights: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Limits but the exact one for each weight p, and their errors."""
    p, c = weights, curvature
    square, largest, nowhere = c.frobenius**2, c.largest, np.full(len(p), np.nan)
    noise = (1 - p) * square + p * c.example_squares
    jensen = (1 - p) * square + p * c.trace**2 / c.outputs
    along = (1 - p) * largest**2 + p * c.along  # λ² + p (mean square - λ²)
    with np.errstate(divide="ignore"):  # a whole batch has no noise, or the noise no alignment
        limits = {
            "exact": nowhere.copy(),
            "sufficient": 2 / ((1 - p) * largest + p * c.steepest),
            "noise": 2 * c.trace / noise,
            "eigenvector": 2 * largest / along,
            "trace": 2 * c.trace / jensen,
            "frobenius": 1 / (c.frobenius * np.sqrt(p * c.alignment)),
            "gradient_descent": np.full(len(p), 2 / largest),
            "bare_trace": np.full(len(p), 2 * c.outputs / c.trace),
        }
    by_norm = 2 * (1 - p) * c.frobenius * c.frobenius_error  # of the denominators
    by_value = c.largest_error / largest
    errors = {
        "exact": nowhere,
        "sufficient": limits["sufficient"] * by_value,
        "noise": limits["noise"] * by_norm / noise,
        "eigenvector": limits["eigenvector"] * by_value,
        "trace": limits["trace"] * by_norm / jensen,
        "frobenius": np.zeros(len(p)),
        "gradient_descent": limits["gradient_descent"] * by_value,
        "bare_trace": np.zeros(len(p)),
    }
    return {name: limits[name] for name in CONDITIONS}, errors
