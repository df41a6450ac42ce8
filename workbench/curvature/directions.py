"""``Directions``: where a loss slice goes, and the usual choices."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.checkpoints import Checkpoint, State, name_checkpoint, read_state
from workbench.choices import check_count
from workbench.curvature.checkpoints import checkpoints_of, problem_at
from workbench.curvature.pairs import Eigenpairs
from workbench.problem import Problem
from workbench.random_vectors import generator, random_vectors

_CHUNK = 2**20  # parameters whose inner products are taken at a time, in float64


@dataclasses.dataclass(frozen=True)
class Directions:
    """One or two directions in the space of the selected parameters, and the point that they start from.

    Attributes
    ----------
    vectors : Tensor (n, 1) or (n, 2)
        As columns, of any length: coordinate 1 is at their tips.
    labels : tuple of str
        One for each.
    origin : state dict, optional
        What the model holds where the coordinates are 0; by default what it holds by itself.
    end : state dict, optional
        What it holds at coordinate 1, if the slice is a line between two checkpoints.
    path : ndarray (m, 2), optional
        Coordinates of the points of a trajectory, projected.
    path_labels : tuple of str
        One for each point.
    explained : tuple of float
        Share of each direction in the variance of the trajectory.
    """

    vectors: Tensor
    labels: tuple[str, ...]
    origin: State | None = None
    end: State | None = None
    path: np.ndarray | None = None
    path_labels: tuple[str, ...] = ()
    explained: tuple[float, ...] = ()


def read_directions(directions: Any, size: int) -> Directions:
    """Read what may be passed as directions: eigenpairs (the first two), a tensor, or ``Directions``.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If the vectors do not have ``size`` rows and one or two columns, or are zero or not finite.
    """
    if isinstance(directions, Eigenpairs):
        directions = eigenvector_directions(directions, *range(1, min(2, len(directions.values)) + 1))
    elif isinstance(directions, Tensor):
        columns = directions[:, None] if directions.dim() == 1 else directions
        count = columns.shape[-1] if columns.dim() else 0
        directions = Directions(columns, tuple(f"direction {i}" for i in range(1, count + 1)))
    elif not isinstance(directions, Directions):
        raise TypeError(
            f"a {type(directions).__name__} has no directions: pass Eigenpairs, a tensor ({size},) or "
            f"({size}, 2), or what random_directions, main_directions or line_between return"
        )
    _check_vectors(directions.vectors, size)
    return directions


def eigenvector_directions(pairs: Eigenpairs, *indices: int) -> Directions:
    """Choose one or two of some eigenvectors, by their rank in ``pairs``.

    Parameters
    ----------
    pairs : Eigenpairs
    *indices : int
        From 1 to the number of pairs; one for a line, two for a plane.

    Raises
    ------
    ValueError
        If they are not one or two different ones, or there is no such pair.
    """
    if not 1 <= len(indices) <= 2 or len(set(indices)) < len(indices):
        raise ValueError(
            f"eigenvectors {', '.join(map(str, indices)) or 'none'}: give one, or two that differ"
        )
    for index in indices:
        check_count("eigenvector", index, 1, len(pairs.values))
    chosen = [index - 1 for index in indices]
    labels = [f"eigenvector {i} (λ = {pairs.values[i - 1].item():.4g})" for i in indices]
    return Directions(pairs.vectors[:, chosen], tuple(labels))


def random_directions(problem: Problem, count: int = 2, *, biases: bool = False, seed: int = 0) -> Directions:
    r"""Random directions, each filter of which is as long as that filter of the model.

    A Gaussian vector is rescaled filter by filter, :math:`d_f \leftarrow d_f\,\|\theta_f\| / \|d_f\|`, so
    that slices of networks whose layers are scaled differently can be compared. A filter is what belongs to
    one entry of the first dimension of a parameter: the weights of one neuron or output channel.

    Parameters
    ----------
    problem : Problem
        Where the filters' lengths come from.
    count : {1, 2}
        Directions for a line or a plane.
    biases : bool
        Also move parameters with fewer than two dimensions (biases, those of BatchNorm and LayerNorm), each
        as one filter. By default they stay.
    seed : int
        Of the directions.

    Raises
    ------
    ValueError
        If ``count`` or ``seed`` is out of range, or all that would be moved is zero.

    Notes
    -----
    Source: Li, Xu, Taylor, Studer and Goldstein, "Visualizing the loss landscape of neural nets", 2018.
    """
    check_count("count", count, 1, 2)
    parameters = [parameter.double().cpu() for parameter in problem.parameters().values()]
    columns = []
    for row in random_vectors(count, problem.num_parameters, generator(seed)):
        parts = row.split([parameter.numel() for parameter in parameters])
        scaled = [_scale(part, parameter, biases) for part, parameter in zip(parts, parameters, strict=True)]
        columns.append(torch.cat(scaled).to(problem.dtype))
    vectors = torch.stack(columns, dim=1)
    if not vectors.any():
        raise ValueError("all that random directions would move is zero or a bias: try biases=True")
    labels = tuple(f"random direction {i} (filter-normalised)" for i in range(1, count + 1))
    return Directions(vectors, labels)


def main_directions(
    problem: Problem, checkpoints: Iterable[Checkpoint] | Mapping[Any, Checkpoint] | None = None
) -> Directions:
    r"""Find the two main directions of a trajectory, from the last checkpoint, with the path projected.

    They are the principal components of the checkpoints: with the centred checkpoints as the rows of X
    (m × n), eigenvectors u of the Gram matrix :math:`X X^\top` (m × m) give unit directions
    :math:`X^\top u / \|X^\top u\|`. What is not selected (buffers, frozen parameters) is the last
    checkpoint's.

    Parameters
    ----------
    problem : Problem
        Its model is not changed.
    checkpoints : sequence of state dicts or files, or mapping of labels to them, optional
        In the order of training, at least three; by default the problem's own.

    Raises
    ------
    ValueError
        If there are fewer than three, one cannot be used, or all lie on one line.

    Notes
    -----
    Memory: all checkpoints' parameters at once. The path of any high-dimensional random walk looks like a
    smooth curve here, too: look at the explained variance (``explained``, on the axes), and do not read a
    valley into it.
    """
    labelled = checkpoints_of(problem, checkpoints)
    if len(labelled) < 3:
        raise ValueError(f"a plane takes at least three checkpoints, and there are {len(labelled)}")
    rows = torch.stack(
        [
            problem_at(problem, checkpoint, label).parameters_vector().cpu()
            for label, checkpoint in labelled.items()
        ]
    )
    variances, coordinates = np.linalg.eigh(_gram(rows))
    variances, coordinates = variances[::-1], coordinates[:, ::-1][:, :2]
    if variances[1] <= _rounding(rows, variances[0]):
        raise ValueError("the checkpoints lie on one line, which spans no plane: see line_between")
    vectors = _combine(rows, coordinates / np.sqrt(variances[:2]))
    signs = torch.gather(vectors, 0, vectors.abs().argmax(dim=0, keepdim=True)).sign()
    path = coordinates * np.sqrt(variances[:2]) * signs.numpy()
    explained = tuple(float(share) for share in variances[:2] / variances.sum())
    return Directions(
        (vectors * signs).to(problem.dtype),
        tuple(
            f"main direction {i} ({share:.0%} of the variance)" for i, share in enumerate(explained, start=1)
        ),
        origin=read_state(list(labelled.values())[-1]),
        path=path - path[-1],
        path_labels=tuple(labelled),
        explained=explained,
    )


def line_between(problem: Problem, first: Checkpoint, last: Checkpoint) -> Directions:
    """Return the straight line from one checkpoint (coordinate 0) to another (coordinate 1).

    Parameters
    ----------
    problem : Problem
        Its model is not changed.
    first, last : state dict or file

    Raises
    ------
    ValueError
        If one cannot be used, or the selected parameters are the same at both.

    Notes
    -----
    All floating tensors of the model are interpolated, the statistics of BatchNorm and frozen parameters
    too, so that the losses at the ends are those of the checkpoints. In between, statistics that were
    averaged are not those of the averaged weights: a part of the barrier of a network with BatchNorm comes
    from that.
    """
    ends = {label: read_state(state) for label, state in (("first", first), ("last", last))}
    start, stop = (problem_at(problem, state, label).parameters_vector() for label, state in ends.items())
    if torch.equal(start, stop):
        raise ValueError("the selected parameters are the same at both checkpoints: there is no line between")
    names = name_checkpoint(first, "first"), name_checkpoint(last, "last")
    label = f"from {names[0]} (0) to {names[1]} (1)"
    return Directions((stop - start)[:, None], (label,), origin=ends["first"], end=ends["last"])


def _check_vectors(vectors: Tensor, size: int) -> None:
    if vectors.dim() != 2 or vectors.shape[0] != size or not 1 <= vectors.shape[1] <= 2:
        raise ValueError(f"directions have the shape ({size},) or ({size}, 2), not {tuple(vectors.shape)}")
    if not vectors.is_floating_point():
        raise ValueError(f"directions are real vectors, not {str(vectors.dtype).removeprefix('torch.')}")
    if not vectors.isfinite().all():
        raise ValueError("a direction is not finite")
    if not vectors.any(dim=0).all():
        raise ValueError("a direction is zero")
    if vectors.shape[1] == 2:
        unit = vectors.double() / torch.linalg.vector_norm(vectors.double(), dim=0)
        if 1 - abs(float(unit[:, 0] @ unit[:, 1])) < 1e-9:
            raise ValueError("the two directions are parallel, so they span no plane")


def _scale(noise: Tensor, parameter: Tensor, biases: bool) -> Tensor:
    """Make every filter of the noise as long as that of the parameter; returns a vector."""
    if parameter.dim() < 2 and not biases:
        return torch.zeros_like(noise)
    filters = parameter.shape[0] if parameter.dim() > 1 else 1
    noise, parameter = noise.view(filters, -1), parameter.reshape(filters, -1)
    lengths = torch.linalg.vector_norm(parameter, dim=1, keepdim=True)
    return (noise / torch.linalg.vector_norm(noise, dim=1, keepdim=True) * lengths).reshape(-1)


def _gram(rows: Tensor) -> np.ndarray:
    """Inner products (m, m) of the centred rows (m, n), in float64."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for part in rows.split(_CHUNK, dim=1):
        centred = _centred(part)
        total += centred @ centred.T
    return total.numpy()


def _rounding(rows: Tensor, largest: float) -> float:
    """Variance that the rounding of the rows, and of their inner products, can show."""
    stored = torch.finfo(rows.dtype).eps ** 2 * float(rows.square().sum(dtype=torch.float64))
    return max(stored, len(rows) * float(np.finfo(np.float64).eps) * largest)


def _combine(rows: Tensor, weights: np.ndarray) -> Tensor:
    """Combinations (n, 2) of the centred rows (m, n) with these weights (m, 2), in float64."""
    factors = torch.from_numpy(weights.copy())
    return torch.cat([_centred(part).T @ factors for part in rows.split(_CHUNK, dim=1)])


def _centred(part: Tensor) -> Tensor:
    part = part.double()
    return part - part.mean(dim=0)
