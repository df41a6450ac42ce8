"""``along``: the top of the spectrum at the checkpoints of a training."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.checkpoints import Checkpoint
from workbench.choices import check_choice, check_count
from workbench.curvature.checkpoints import checkpoints_of, problem_at
from workbench.curvature.eigensolver import eigenpairs
from workbench.curvature.operators import GGN, Hessian
from workbench.curvature.pairs import Eigenpairs
from workbench.curvature.traces import trace
from workbench.curvature.trajectory import Trajectory
from workbench.problem import Problem
from workbench.progress import progress
from workbench.result import Estimate

MATRICES = {"hessian": Hessian, "ggn": GGN}


def along(
    problem: Problem,
    checkpoints: Iterable[Checkpoint] | Mapping[Any, Checkpoint] | None = None,
    k: int = 10,
    *,
    matrix: str = "hessian",
    tol: float = 1e-3,
    max_matvecs: int | None = None,
    trace_probes: int = 0,
    regularization: bool = False,
    seed: int = 0,
) -> Trajectory:
    r"""Find the k largest eigenpairs at each checkpoint of a training, and how their spaces turn.

    Parameters
    ----------
    problem : Problem
        The loss and the data; its model is not changed.
    checkpoints : sequence of checkpoints, or mapping of labels to them, optional
        By default the problem's own, else the one state that its model holds now. A checkpoint is a state
        dict, a file of ``torch.save`` (read as data, never as code) or a ``.safetensors`` file. A state dict
        under ``"model"``, ``"state_dict"`` or ``"model_state_dict"`` is found. Labels that are numbers, such
        as epochs, place the checkpoints on the axis.
    k : int
        How many pairs. One more is computed, since the gap below them is what bounds the overlaps' errors.
    matrix : {"hessian", "ggn"}
        Of which matrix.
    tol, max_matvecs
        Of each :func:`eigenpairs`.
    trace_probes : int
        Probes of an estimate of the trace at each checkpoint; 0 for none.
    regularization : bool
        Add the problem's regulariser and weight decay.
    seed : int
        Of the start vectors and probes, the same at each checkpoint.

    Returns
    -------
    Trajectory
        An interrupt (Ctrl-C) returns the checkpoints that are done.

    Raises
    ------
    ValueError
        If a checkpoint cannot be read, does not fit the model or has a loss that is not finite, with its
        label, before the first is analysed; or an option is out of range.

    Notes
    -----
    Errors of overlaps are bounded by Davis and Kahan's theorem,
    :math:`\|\sin\Theta\|_F \le \|R\|_F / (\lambda_k - \lambda_{k+1})`, where R are the residuals: if the gap
    is narrow, "the top k" are hardly a space of their own, and the bound says so.

    Each checkpoint starts afresh: a start from the eigenvectors before saves next to nothing, see
    :func:`eigenpairs`. Memory: k vectors for each checkpoint, beside what :func:`eigenpairs` takes.
    """
    check_choice("matrix", matrix, tuple(MATRICES))
    check_count("k", k, 1, problem.num_parameters)
    check_count("trace_probes", trace_probes, low=0)
    labelled = checkpoints_of(problem, checkpoints)
    for label, checkpoint in labelled.items():  # a bad one is found now, not after hours
        problem_at(problem, checkpoint, label)

    def analyse(here: Problem) -> tuple[Eigenpairs, float, Estimate | None]:
        op = MATRICES[matrix](here, regularization=regularization)
        loss = here.loss_at(regularization=regularization)
        count = min(k + 1, problem.num_parameters)
        pairs = eigenpairs(op, count, tol=tol, max_matvecs=max_matvecs, seed=seed)
        estimate = trace(op, max_matvecs=trace_probes, seed=seed) if trace_probes else None
        if pairs.interrupted or (estimate is not None and not estimate.converged):
            raise KeyboardInterrupt  # half a checkpoint is none
        return pairs, loss, estimate

    done: list[tuple[Eigenpairs, float, Estimate | None]] = []
    with progress("checkpoints", len(labelled)) as advance:
        try:
            for label, checkpoint in labelled.items():
                done.append(analyse(problem_at(problem, checkpoint, label)))
                advance(1)
        except KeyboardInterrupt:
            if not done:
                raise
    pairs = [each for each, _, _ in done]
    spaces = [_Space(each, k) for each in pairs]
    before = [(math.nan, math.nan), *map(_overlap, spaces, spaces[1:])]
    last = [_overlap(space, spaces[-1]) for space in spaces]
    return Trajectory(
        labels=tuple(labelled)[: len(done)],
        pairs=tuple(_first(each, k) for each in pairs),
        loss=np.array([loss for _, loss, _ in done]),
        traces=tuple(estimate for _, _, estimate in done if estimate is not None),
        overlap_previous=np.array([overlap for overlap, _ in before]),
        overlap_previous_error=np.array([error for _, error in before]),
        overlap_last=np.array([overlap for overlap, _ in last]),
        overlap_last_error=np.array([error for _, error in last]),
        matrix=matrix,
        terms=pairs[0].terms,
        interrupted=len(done) < len(labelled),
    )


class _Space:
    """The span of the first k eigenvectors, and a bound on the sine of its angle to the true one.

    Parameters
    ----------
    pairs : Eigenpairs
        k + 1 pairs, or all there are.
    k : int
    """

    def __init__(self, pairs: Eigenpairs, k: int) -> None:
        self.vectors = pairs.vectors[:, :k]
        self.sine = 0.0
        if len(pairs.values) > k:
            residual = torch.linalg.vector_norm(pairs.residuals[:k]).item()
            gap = (pairs.values[k - 1] - pairs.values[k] - pairs.residuals[k]).item()
            self.sine = residual / gap if gap > 0 else math.inf


def _overlap(first: _Space, second: _Space) -> tuple[float, float]:
    r"""Overlap of two spaces and a bound on its error.

    With projections P and Q, the overlap is :math:`\mathrm{tr}(P Q) / k`; a space that turns by an angle
    with sine s changes P by :math:`\sqrt2 s`, and the norm of Q is :math:`\sqrt k`.
    """
    k = first.vectors.shape[1]
    products: Tensor = first.vectors.T @ second.vectors
    overlap = products.double().square().sum().item() / k
    return overlap, min(1.0, math.sqrt(2 / k) * (first.sine + second.sine))


def _first(pairs: Eigenpairs, k: int) -> Eigenpairs:
    """The first k of some eigenpairs."""
    return pairs.replace(
        values=pairs.values[:k],
        vectors=pairs.vectors[:, :k].contiguous(),
        residuals=pairs.residuals[:k],
        converged=pairs.converged[:k],
    )
