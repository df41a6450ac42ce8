"""``slice_loss``: the loss along one or two directions."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.curvature.directions import Directions, read_directions
from workbench.curvature.loss_slice import LossSlice, distances
from workbench.curvature.operators import Hessian
from workbench.problem import Problem
from workbench.progress import progress

_FARTHEST = 1e6  # lengths of a direction that a line goes, if its quadratic model decides
_MARGIN = 1.1  # how far a plane reaches beyond the path in it


def slice_loss(
    problem: Problem,
    directions: Any,
    *,
    reach: float | Sequence[float] | Literal["parabola"] | None = None,
    points: int = 25,
    quadratic: bool = True,
    regularization: bool = False,
) -> LossSlice:
    r"""Evaluate the loss on a line or a plane through the parameters, beside its quadratic model.

    The model is :math:`L(0) + g^\top d(c) + \frac12 d(c)^\top H\, d(c)` with the exact gradient g and
    products with the exact Hessian H at the origin.

    Parameters
    ----------
    problem : Problem
        Its model is not changed.
    directions : Eigenpairs, Tensor (n,) or (n, 2), or Directions
        Of eigenpairs, the first two (for others pass columns of ``pairs.vectors``). ``Directions`` come from
        :func:`random_directions`, :func:`main_directions` and :func:`line_between`.
    reach : float or one per direction, optional
        The grid goes from ``-reach`` to ``reach`` in the coordinates, in units of the direction's length. By
        default 1; for a trajectory, just beyond its path. A line between checkpoints goes from 0 to 1.
        ``"parabola"``, for one direction: 1.5 times as far as where the quadratic model is back at the loss
        of the origin, from a millionth to a million; 10 if it never is.
    points : int
        Points per direction: odd, so that the origin is one of them, and at least 3.
    quadratic : bool
        Compute the quadratic model.
    regularization : bool
        Add the problem's regulariser and weight decay to loss and model.

    Returns
    -------
    LossSlice
        A loss that is not finite is kept as it is. An interrupt (Ctrl-C) returns the points so far; they are
        computed from the origin outwards (of a line between checkpoints, both ends first).

    Raises
    ------
    ValueError
        If the directions do not fit, ``reach`` or ``points`` is out of range, or there is no second
        derivative for the quadratic model.
    TypeError
        If ``directions`` is none of these.

    Notes
    -----
    Cost: one forward pass over the data per point (:math:`p^2` for a plane), and for the model one gradient
    and one Hessian product per direction. A step smaller than the rounding of the parameters is no step: use
    ``problem.to(dtype=torch.float64)`` for tiny ones.
    """
    directions = read_directions(directions, problem.num_parameters)
    check_count("points", points, low=3)
    if points % 2 == 0:
        raise ValueError(f"points={points} is even, so the origin is none of them: it must be odd")
    by_model = isinstance(reach, str)
    if by_model:
        check_choice("reach", reach, ("parabola",))
        if not quadratic or directions.end is not None or directions.vectors.shape[1] != 1:
            raise ValueError("reach='parabola' is for one direction, with its quadratic model")
    axes = _make_axes(directions, None if by_model else reach, points)
    here = problem if directions.origin is None else problem.at(directions.origin)
    vectors = directions.vectors.to(device=here.device, dtype=here.dtype)
    gram = (vectors.double().T @ vectors.double()).cpu().numpy()
    carried = () if directions.end is None else _carried(here, problem.at(directions.end))
    gradient = hessian = None
    if quadratic and not carried:
        gradient, hessian = _expand(here, vectors, regularization)
        if by_model:
            axes = _make_axes(directions, _reach_of(gradient[0], hessian[0, 0]), points)

    loss_at = _losses(problem, here, directions, vectors, regularization)
    loss = np.full([points] * len(axes), np.nan)
    computed = np.zeros(loss.shape, dtype=bool)
    interrupted = False
    try:
        with progress("loss slice", loss.size) as advance:
            for index in _outwards(axes, gram, ends_first=directions.end is not None):
                loss[index] = loss_at(np.array([axis[i] for axis, i in zip(axes, index, strict=True)]))
                computed[index] = True
                advance(1)
    except KeyboardInterrupt:
        if not computed.any():
            raise
        interrupted = True
    return LossSlice(
        axes=axes,
        loss=loss,
        computed=computed,
        gram=gram,
        gradient=gradient,
        hessian=hessian,
        precision=torch.finfo(here.coarsest_dtype).eps,
        labels=directions.labels,
        line=directions.end is not None,
        carried=carried,
        path=directions.path,
        path_labels=directions.path_labels,
        explained=directions.explained,
        matvecs=0 if hessian is None else len(hessian),
        terms=here.terms(regularization),
        interrupted=interrupted,
    )


def _make_axes(directions: Directions, reach: Any, points: int) -> tuple[np.ndarray, ...]:
    """Coordinates of the grid; 0 is exactly among them."""
    if directions.end is not None:
        if reach is not None:
            raise ValueError(
                f"reach={reach}: a line between checkpoints goes from 0 to 1, so it has no reach"
            )
        return (np.linspace(0, 1, points),)
    count = directions.vectors.shape[1]
    if reach is None:
        path = directions.path
        reaches = [1.0] * count if path is None else list(_MARGIN * np.abs(path).max(axis=0))
    else:
        reaches = list(reach) if isinstance(reach, Sequence) else [float(reach)] * count
    if len(reaches) != count or not all(0 < each < np.inf for each in reaches):
        raise ValueError(f"reach={reach} is out of range: it must be positive, one number or {count}")
    half = points // 2
    return tuple(float(each) * np.arange(-half, half + 1) / half for each in reaches)


def _reach_of(slope: float, bend: float) -> float:
    """1.5 times as far as where a parabola is back at its start; some length for one that never is."""
    reach = 3 * abs(slope) / bend if bend > 0 and slope else 10.0
    return min(max(reach, 1 / _FARTHEST), _FARTHEST)


def _outwards(axes: tuple[np.ndarray, ...], gram: np.ndarray, *, ends_first: bool) -> list[tuple[int, ...]]:
    """Indices of the grid from the origin outwards; of a line between checkpoints, first its other end."""
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    distance = distances(grid, gram)
    if ends_first:
        distance[-1] = 0
    order = np.argsort(distance, axis=None, kind="stable")
    return [tuple(map(int, np.unravel_index(place, distance.shape))) for place in order]


def _expand(problem: Problem, vectors: Tensor, regularization: bool) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (d,) and curvatures (d, d) of the loss along the columns of ``vectors``."""
    hessian = Hessian(problem, regularization=regularization, memory=0)
    gradient = problem.gradient(regularization=regularization).double() @ vectors.double()
    curvature = vectors.double().T @ (hessian @ vectors).double()
    return gradient.cpu().numpy(), ((curvature + curvature.T) / 2).cpu().numpy()


def _losses(
    problem: Problem, here: Problem, directions: Directions, vectors: Tensor, regularization: bool
) -> Callable[[np.ndarray], float]:
    """Return the loss as a function of the coordinates (d,)."""
    if directions.end is not None:
        return _losses_between(here, problem.at(directions.end), regularization)
    theta = here.parameters_vector()

    def loss_at(coordinates: np.ndarray) -> float:
        step = vectors @ torch.from_numpy(coordinates).to(vectors)
        return here.loss_at(theta + step, regularization=regularization)

    return loss_at


def _losses_between(first: Problem, last: Problem, regularization: bool) -> Callable[[np.ndarray], float]:
    """Return the loss on a line along which all floating tensors of the model move."""
    between = first.at(first.model.state_dict())  # a copy of our own, which is written
    moving = {name: tensor for name, tensor in between.state().items() if tensor.is_floating_point()}
    start, stop = first.state(), last.state()

    def loss_at(coordinates: np.ndarray) -> float:
        t = float(coordinates[0])
        for name, tensor in moving.items():
            tensor.copy_((1 - t) * start[name] + t * stop[name])
        return between.loss_at(regularization=regularization)

    return loss_at


def _carried(first: Problem, last: Problem) -> tuple[str, ...]:
    """Names of the floating tensors that differ and are no selected parameters."""
    selected = {part.name for part in first.layout}
    stop = last.state()
    return tuple(
        name
        for name, tensor in first.state().items()
        if name not in selected and tensor.is_floating_point() and not torch.equal(tensor, stop[name])
    )
