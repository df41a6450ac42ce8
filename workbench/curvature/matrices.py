"""The matrices of a problem, by name: each a matrix-free operator."""

from typing import Any

from workbench.choices import check_choice
from workbench.curvature.operators import (
    GGN,
    CurvatureOperator,
    EmpiricalFisher,
    Hessian,
    Identity,
    Jacobian,
    LowRank,
    ProblemOperator,
    SampledFisher,
    TangentKernel,
    as_operator,
)
from workbench.problem import Problem


def hessian(
    problem: Problem,
    *,
    regularization: bool = False,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
) -> ProblemOperator:
    """Return the Hessian of the loss as a matrix-free operator; see :class:`~.operators.hessian.Hessian`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the problem's regulariser and weight decay; ``.terms`` says what is in.

    memory : int or str, optional
        What may be kept between products, e.g. ``"4GB"``; by default half of what is free. 0 keeps nothing.
    plan : {"fixed", "auto"}
        How products are done: by rules, or by timing the candidates; ``.plan()`` says which and why.
    check : bool
        Probe products for symmetry and against differences of the gradient before the first one is given.

    Raises
    ------
    ValueError
        At the first product, if something in the model or the loss has no second derivative, or a wrong one;
        at a later one, if the model or a kept batch changed.
    """
    return Hessian(problem, regularization=regularization, memory=memory, plan=plan, check=check)


def ggn(
    problem: Problem,
    *,
    regularization: bool = False,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
) -> ProblemOperator:
    """Return the generalised Gauss-Newton matrix as an operator; see :class:`~.operators.ggn.GGN`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the Hessian of the problem's regulariser and weight decay; ``.terms`` says what is in.

    memory : int or str, optional
        What may be kept between products, e.g. ``"4GB"``; by default half of what is free. 0 keeps nothing.
    plan : {"fixed", "auto"}
        How products are done: by rules, or by timing the candidates; ``.plan()`` says which and why.
    check : bool
        Probe products for symmetry and against differences of the gradient before the first one is given.

    Raises
    ------
    ValueError
        At the first product, if something in the model or the loss has no second derivative, or a wrong one;
        at a later one, if the model or a kept batch changed.
    """
    return GGN(problem, regularization=regularization, memory=memory, plan=plan, check=check)


def fisher(
    problem: Problem,
    kind: str = "empirical",
    *,
    samples: int = 1,
    seed: int = 0,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
) -> ProblemOperator:
    """Return a Fisher information matrix; see :mod:`~.operators.fisher`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    kind : {"empirical", "mc"}
        ``"empirical"``: second moment of the examples' own gradients. ``"mc"``: the model's Fisher matrix,
        its expectation over targets (which is the GGN) replaced by a mean over samples.
    samples, seed : int
        Targets drawn per example, and of which seed; for ``"mc"`` alone.
    memory, plan, check
        As for :func:`hessian`.

    Raises
    ------
    ValueError
        If the kind is unknown, or targets cannot be sampled for this loss.
    """
    check_choice("kind", kind, ("empirical", "mc"))
    common: dict[str, Any] = {"memory": memory, "plan": plan, "check": check}
    if kind == "empirical":
        return EmpiricalFisher(problem, **common)
    return SampledFisher(problem, samples=samples, seed=seed, **common)


def gradient_covariance(
    problem: Problem, *, memory: int | str | None = None, plan: str = "fixed", check: bool = True
) -> CurvatureOperator:
    r"""Return the covariance of the examples' gradients, :math:`\frac1N\sum_i (g_i - g)(g_i - g)^\top`.

    The empirical Fisher matrix less the outer product of the mean gradient g, weighted as the loss is (of a
    loss that is a sum, N times the covariance). Construction costs one gradient.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    memory, plan, check
        As for :func:`hessian`.
    """
    second_moment = EmpiricalFisher(problem, memory=memory, plan=plan, check=check)
    mean = LowRank(problem.gradient()[None], problem.layout)
    share = problem.num_examples if problem.weighting.sums else 1
    return second_moment - mean * (1 / share)


def jacobian(problem: Problem, *, memory: int | str | None = None, check: bool = True) -> Jacobian:
    """Return the Jacobian of all outputs for all examples; see :class:`~.operators.jacobian.Jacobian`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    memory, check
        As for :func:`hessian`.
    """
    return Jacobian(problem, memory=memory, check=check)


def ntk(problem: Problem, *, memory: int | str | None = None, check: bool = True) -> CurvatureOperator:
    """Return the tangent kernel J Jᵀ of all outputs; see :class:`~.operators.jacobian.TangentKernel`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    memory, check
        As for :func:`hessian`.
    """
    return TangentKernel(Jacobian(problem, memory=memory, check=check))


def identity(like: Any) -> CurvatureOperator:
    """Return the unit matrix of the size of another operator, as in ``A - 0.5 * identity(A)``."""
    return Identity(as_operator(like))
