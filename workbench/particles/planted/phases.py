r"""``phase_diagram``: from how many samples on a planted direction is found, over dimensions and methods.

What is to be expected: online SGD, the last iterate, and ascent from anywhere at :math:`n \sim d^{k-1}`;
the average by itself at :math:`d^{\lceil k/2\rceil}`; the average or the smoothed landscape, followed by
ascent, at :math:`d^{k/2}`. For k = 3 the partial trace has cosine :math:`\sqrt{n}/\sqrt{n + d^2/3}` with the
direction, which is of order one at :math:`n \sim d^2`; at :math:`d^{3/2}` it is about :math:`d^{-1/4}`, from
where ascent finds the rest (derived here, as known of tensor power iteration). The abstract of the paper has
:math:`d^{k/2}` as we could read it, notes on it by others the ceiling.
"""

from collections.abc import Sequence

import numpy as np
import torch

from workbench.choices import check_choice, check_count
from workbench.particles.planted.ascent import ascend
from workbench.particles.planted.chains import langevin
from workbench.particles.planted.index_models import IndexModel, single_index
from workbench.particles.planted.minibatches import minibatch_sgd
from workbench.particles.planted.model import Planted
from workbench.particles.planted.online import online_sgd
from workbench.particles.planted.phase_table import PhaseDiagram
from workbench.particles.planted.smoothing import smoothed_ascent
from workbench.particles.planted.sphere import uniform_points
from workbench.particles.planted.tensors import TensorModel, tensor_pca
from workbench.progress import progress

MODELS = ("tensor", "single index")
METHODS = (
    "online SGD",
    "ascent",
    "last iterate",
    "last iterate, ascent",
    "average",
    "average, ascent",
    "partial trace, ascent",
)
SMOOTHED_METHODS = ("smoothed ascent",)  # of tensors of order 3
MINIBATCH_METHODS = ("minibatch last iterate", "minibatch average", "minibatch average, ascent")
BYTES = 2**26  # of the instances that are run at the same time


def phase_diagram(
    model: str = "tensor",
    order: int = 3,
    dims: Sequence[int] = (8, 16, 32, 64),
    exponents: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5),
    *,
    runs: int = 20,
    beta: float = 0.3,
    step: float = 0.2,
    length: float = 2.0,
    minibatches: bool = False,
    seed: int = 0,
    resume: PhaseDiagram | None = None,
) -> PhaseDiagram:
    r"""Run every method on every instance, for each dimension d and sample size :math:`n = d^p`.

    Parameters
    ----------
    model : str
        ``"tensor"`` or ``"single index"``, with labels' noise 0.5.
    order : int
        The information exponent k, from 1 to 4.
    dims : sequence of int
        Dimensions, ascending, at least 3.
    exponents : sequence of float
        p, ascending and positive.
    runs : int
        Instances of each dimension; those of one share their noise over sizes and methods.
    beta, step, length : float
        Of the chains: see :func:`langevin`.
    minibatches : bool
        Whether :func:`minibatch_sgd` is run, too; a single-index model only.
    seed : int
        Of everything.
    resume : PhaseDiagram, optional
        Take over from this one, such as one that was interrupted and saved, the instances that it has of the
        same dimensions; only the others are run. It may have fewer instances, and other dimensions.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, a tensor is to have minibatches, or the diagram to resume was made with
        other arguments.

    Notes
    -----
    Cost: that of a chain for each run, dimension and exponent, online SGD over the most samples of each
    dimension, and 100 forces for each ascent. After Ctrl-C the instances that are done come back, with
    ``interrupted`` set.
    """
    check_choice("model", model, MODELS)
    check_count("runs", runs, low=2)
    if minibatches and model == "tensor":
        raise ValueError("minibatches=True: a tensor has none; allowed with model='single index'")
    check_count("order", order, low=1, high=4)
    for dim in dims:
        check_count("dims", dim, low=3)
    if not len(dims) or (np.diff(dims) <= 0).any():
        raise ValueError(f"dims={list(dims)}: give at least one, ascending")
    p = np.asarray(exponents, float)
    if not len(p) or not np.isfinite(p).all() or (p <= 0).any() or (np.diff(p) <= 0).any():
        raise ValueError(f"exponents={list(exponents)}: they must be positive and ascending")
    smoothed = model == "tensor" and order == 3
    methods = METHODS + SMOOTHED_METHODS * smoothed + MINIBATCH_METHODS * minibatches
    sizes = np.array([[round(dim**power) for power in p] for dim in dims])
    settings = {"beta": beta, "step": step, "length": length, "seed": seed}
    empty = PhaseDiagram(
        model=model,
        order=order,
        dims=tuple(int(dim) for dim in dims),
        exponents=p,
        sizes=sizes,
        methods=methods,
        overlaps=np.full((len(methods), len(dims), runs, len(p)), np.nan),
        settings=settings,
    )
    overlaps = empty.overlaps if resume is None else _taken_over(empty, resume)
    interrupted = False
    try:
        with progress(f"phases of the {model}", runs * len(dims)) as advance:
            for d, dim in enumerate(dims):
                width = max(1, BYTES // (4 * _numbers(model, dim, order, int(sizes[d].max()))))
                done = int((~np.isnan(overlaps[:, d]).any((0, 2))).sum())
                advance(done, f"dimension {dim}")
                for first in range(done, runs, width):
                    chunk = range(first, min(first + width, runs))
                    make = tensor_pca if model == "tensor" else single_index
                    planted = make(dim, sizes[d].tolist(), order, runs=chunk, seed=seed)
                    found = _overlaps(planted, beta, step, length, minibatches, seed)
                    overlaps[:, d, chunk.start : chunk.stop] = found
                    advance(len(chunk), f"dimension {dim}")
    except KeyboardInterrupt:
        if np.isnan(overlaps).all():
            raise
        interrupted = True
    return empty.replace(overlaps=overlaps, interrupted=interrupted)


def _taken_over(empty: PhaseDiagram, resume: PhaseDiagram) -> np.ndarray:
    """Cosines of the instances that a diagram has already; they are the first ones of each dimension."""
    for name in ("model", "order", "methods", "settings"):
        if getattr(empty, name) != getattr(resume, name):
            raise ValueError(
                f"{name} is {getattr(empty, name)!r}, but the diagram to resume has {getattr(resume, name)!r}"
            )
    if not np.array_equal(empty.exponents, resume.exponents):
        raise ValueError(
            f"exponents={empty.exponents.tolist()}, but the diagram to resume has {resume.exponents.tolist()}"
        )
    overlaps = empty.overlaps.copy()
    runs = min(overlaps.shape[2], resume.overlaps.shape[2])
    for d, dim in enumerate(empty.dims):
        if dim in resume.dims:
            overlaps[:, d, :runs] = resume.overlaps[:, resume.dims.index(dim), :runs]
    return overlaps


def _numbers(model: str, dim: int, order: int, size: int) -> int:
    """How many one instance consists of."""
    return dim**order if model == "tensor" else dim * size


def _overlaps(
    model: Planted, beta: float, step: float, length: float, minibatches: bool, seed: int
) -> np.ndarray:
    """Cosines (methods, runs, sizes) with the planted direction; a chain that was stopped does not count."""
    chain = langevin(model, beta=beta, step=step, length=length, seed=seed)
    start = uniform_points(seed, model.runs, len(model.sizes), model.dim, model.direction.dtype)
    found = [online_sgd(model, seed=seed), ascend(model, start), chain.points, ascend(model, chain.points)]
    found += [chain.estimates, ascend(model, chain.estimates), ascend(model, model.partial_trace())]
    stopped = chain.interrupted
    if isinstance(model, TensorModel) and model.order == 3:
        found.append(smoothed_ascent(model, start))
    if minibatches and isinstance(model, IndexModel):
        batches = minibatch_sgd(model, beta=beta, step=step, length=length, seed=seed)
        found += [batches.points, batches.estimates, ascend(model, batches.estimates)]
        stopped = stopped or batches.interrupted
    if stopped:
        raise KeyboardInterrupt
    return torch.stack([model.overlap(points) for points in found]).double().numpy()
