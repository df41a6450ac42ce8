"""The matrices of a problem, by name: each a matrix-free operator."""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def hessian(
    problem: Problem,
    *,
    regularization: bool = False,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
    process_group: "ProcessGroup | None" = None,
) -> ProblemOperator:
    """Return the Hessian of the loss as a matrix-free operator; see :class:`~.operators.hessian.Hessian`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the problem's regulariser and weight decay; ``.terms`` says what is in.
    memory : int or str, optional
        What may be kept between products, e.g. ``"4GB"``; by default a quarter of what is free. 0: nothing.
    plan : {"fixed", "auto"}
        How products are done: by rules, or by timing the candidates; ``.plan()`` says which and why.
    check : bool
        Probe products for symmetry and against differences of the gradient before the first one is given.
    process_group : torch.distributed.ProcessGroup, optional
        Sum over its ranks, each of which calls this with a problem that holds its share of the data, and
        multiplies the same vectors.

    Raises
    ------
    ValueError
        At the first product, if something in the model or the loss has no second derivative, or a wrong one;
        at a later one, if the model or a kept batch changed. If ranks differ in more than their data.
    RuntimeError
        If another rank failed, died, or did not come within the group's time limit.
    """
    return Hessian(
        problem,
        regularization=regularization,
        memory=memory,
        plan=plan,
        check=check,
        process_group=process_group,
    )


def ggn(
    problem: Problem,
    *,
    regularization: bool = False,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
    process_group: "ProcessGroup | None" = None,
) -> ProblemOperator:
    """Return the generalised Gauss-Newton matrix as an operator; see :class:`~.operators.ggn.GGN`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    regularization : bool
        Add the Hessian of the problem's regulariser and weight decay; ``.terms`` says what is in.
    memory, plan, check, process_group
        As for :func:`hessian`, which also says what is raised.
    """
    return GGN(
        problem,
        regularization=regularization,
        memory=memory,
        plan=plan,
        check=check,
        process_group=process_group,
    )


def fisher(
    problem: Problem,
    kind: str = "empirical",
    *,
    samples: int = 1,
    seed: int = 0,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
    process_group: "ProcessGroup | None" = None,
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
    memory, plan, check, process_group
        As for :func:`hessian`.

    Raises
    ------
    ValueError
        If the kind is unknown, or targets cannot be sampled for this loss.
    """
    check_choice("kind", kind, ("empirical", "mc"))
    common: dict[str, Any] = {"memory": memory, "plan": plan, "check": check, "process_group": process_group}
    if kind == "empirical":
        return EmpiricalFisher(problem, **common)
    return SampledFisher(problem, samples=samples, seed=seed, **common)


def gradient_covariance(
    problem: Problem,
    *,
    memory: int | str | None = None,
    plan: str = "fixed",
    check: bool = True,
    process_group: "ProcessGroup | None" = None,
) -> CurvatureOperator:
    r"""Return the covariance of the examples' gradients, :math:`\frac1N\sum_i (g_i - g)(g_i - g)^\top`.

    The empirical Fisher matrix less the outer product of the mean gradient g, weighted as the loss is (of a
    loss that is a sum, N times the covariance). Construction costs one gradient.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    memory, plan, check, process_group
        As for :func:`hessian`.
    """
    second_moment = EmpiricalFisher(
        problem, memory=memory, plan=plan, check=check, process_group=process_group
    )
    ranks = second_moment.ranks
    theta = problem.parameters_vector().to(second_moment.dtype)
    gradient = ranks.sum(lambda: ranks.share * problem.gradient(), like=theta)
    count = ranks.num_examples if problem.weighting.sums else 1
    return second_moment - LowRank(gradient[None], problem.layout) * (1 / count)


def jacobian(
    problem: Problem,
    *,
    memory: int | str | None = None,
    check: bool = True,
    process_group: "ProcessGroup | None" = None,
) -> Jacobian:
    """Return the Jacobian of all outputs for all examples; see :class:`~.operators.jacobian.Jacobian`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    memory, check
        As for :func:`hessian`.
    process_group : None
        Refused.

    Raises
    ------
    ValueError
        If a process group is given: each rank's examples have rows of their own.
    """
    _refuse_group("jacobian", process_group)
    return Jacobian(problem, memory=memory, check=check)


def ntk(
    problem: Problem,
    *,
    memory: int | str | None = None,
    check: bool = True,
    process_group: "ProcessGroup | None" = None,
) -> CurvatureOperator:
    """Return the tangent kernel J Jᵀ of all outputs; see :class:`~.operators.jacobian.TangentKernel`.

    Parameters
    ----------
    problem : Problem
        What is analysed.
    memory, check
        As for :func:`hessian`.
    process_group : None
        Refused.

    Raises
    ------
    ValueError
        If a process group is given: entries would be between examples of different ranks.
    """
    _refuse_group("ntk", process_group)
    return TangentKernel(Jacobian(problem, memory=memory, check=check))


def identity(like: Any) -> CurvatureOperator:
    """Return the unit matrix of the size of another operator, as in ``A - 0.5 * identity(A)``."""
    return Identity(as_operator(like))


def _refuse_group(name: str, process_group: "ProcessGroup | None") -> None:
    if process_group is not None:
        raise ValueError(
            f"{name} takes no process_group: it has rows for each example, which stand on different ranks, "
            f"and is no sum. Call {name}(problem) on one rank for its own examples, or ggn(problem, "
            "process_group=...), which is a sum"
        )
