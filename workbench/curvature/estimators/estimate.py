"""``estimate``: from a sampler to an ``Estimate``, with a stopping rule and an exact way out."""

import warnings
from collections.abc import Callable

from torch import Tensor

from workbench.curvature.estimators.sampling import BLOCK, Sampler, Samples, finite, sample
from workbench.curvature.operators import CurvatureOperator
from workbench.progress import progress
from workbench.result import Estimate


def estimate(
    op: CurvatureOperator,
    sampler: Sampler,
    samples: Callable[[], Samples],
    *,
    name: str,
    method: str,
    max_matvecs: int,
    allowed: Callable[[float], float] | None,
    exact: Callable[[Tensor], Tensor],
) -> Estimate:
    """Draw samples until their standard error is allowed, or ``max_matvecs`` products are used.

    n products tell the whole matrix, so no more than that go into samples; where n are left, the answer is
    exact.

    Parameters
    ----------
    samples : callable
        What the sampler has so far, turned into what is wanted.
    allowed : callable, optional
        The standard error that suffices, given the estimate; by default all products are used.
    exact : callable
        The number wanted, from the whole matrix.
    """
    before, n = op.matvecs, op.shape[0]
    answer: Tensor | None = None
    interrupted = False

    def enough() -> bool:
        return allowed is not None and _suffices(samples(), allowed)

    try:
        if allowed is not None or max_matvecs < n:
            most = min(max_matvecs, n) // sampler.cost
            with progress(name, most * sampler.cost) as advance:
                sample(sampler.extend, most, lambda count: advance(count * sampler.cost), enough)
        if max_matvecs - (op.matvecs - before) >= n and not (sampler.count and enough()):
            answer = exact(finite(op.dense()).double())[None].cpu()
    except KeyboardInterrupt:
        if not sampler.count:
            raise
        interrupted = True
    drawn = samples() if answer is None else Samples(answer, 0.0)
    result = Estimate(
        name=name,
        value=drawn.mean,
        stderr=drawn.stderr,
        samples=tuple(drawn.values.tolist()),
        matvecs=op.matvecs - before,
        converged=not interrupted and (answer is not None or allowed is None or _suffices(drawn, allowed)),
        terms=op.terms,
        method=method if answer is None else "exact",
    )
    if allowed is not None and not result.converged and not interrupted:
        _warn(result, allowed(result.value))
    return result


def _suffices(samples: Samples, allowed: Callable[[float], float]) -> bool:
    return len(samples.values) >= BLOCK and samples.stderr <= allowed(samples.mean)


def _warn(result: Estimate, wanted: float) -> None:
    warnings.warn(
        f"the {result.name} did not reach the tolerance within {result.matvecs} products: its standard error "
        f"is {result.stderr:.2g}, wanted {wanted:.2g}; raise max_matvecs or the tolerance",
        RuntimeWarning,
        stacklevel=4,
    )
