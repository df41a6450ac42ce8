"""``gradient_statistics``: norm, noise and agreement of the gradients of minibatches."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from workbench.batches import Batch, count_examples, tensors
from workbench.choices import check_count
from workbench.inspection.gradient_noise import GradientStatistics
from workbench.layout import layers_of
from workbench.minibatches import minibatches
from workbench.problem import Problem
from workbench.progress import progress

_CHUNK = 2**18  # parameters whose inner products are taken at a time, in float64


def gradient_statistics(
    problem: Problem, batch_size: int = 32, batches: int = 20, seed: int = 0
) -> GradientStatistics:
    r"""Measure how long the gradient is, how noisy, and how far minibatches agree, layer by layer.

    Parameters
    ----------
    problem : Problem
        Its model is not changed.
    batch_size : int
        Examples of a minibatch, B; all but one if there are not as many.
    batches : int
        Minibatches, at least 3; each is drawn without replacement.
    seed : int
        Of the draws.

    Returns
    -------
    GradientStatistics
        Where examples cannot be taken out of their batches (a ``weight=`` of one's own, batches of different
        shapes), the minibatches are the problem's own batches, evenly spread over the data: noise is then
        that between batches, and right for the examples if these were put into batches at random. An
        interrupt (Ctrl-C) returns the minibatches so far, if they are two.

    Raises
    ------
    ValueError, TypeError
        If an option is out of range.

    Notes
    -----
    Cost: one gradient for the whole, and B / N of one for each minibatch. Memory: ``batches + 1`` gradients
    in the model's dtype (that of all the data at least in float32), and the data once more for the draws.
    Inner products are summed in float64.

    Source of the estimates of noise and noise scale: McCandlish et al. 2018 (arXiv 1812.06162), appendix A.1,
    see :class:`workbench.stability.quantities.GradientNoiseScale`. The shares of pairs and their errors:
    :mod:`workbench.inspection.pair_shares`.
    """
    check_count("batch_size", batch_size)
    check_count("batches", batches, 3)
    counts, weights, refusal = _survey(problem)
    examples, parameters = sum(counts), problem.parameters()
    left_out = {"minibatches drawn at random": refusal} if refusal else {}
    if refusal:
        places = set(np.linspace(0, len(counts) - 1, min(batches, len(counts))).round().astype(int).tolist())
        own = enumerate(problem.batches())
        chosen: Iterator[Batch] = (batch for place, (batch, _) in own if place in places)
        sizes = [counts[place] for place in sorted(places)]
    else:
        sizes = [min(batch_size, examples - 1)] * batches
        chosen = minibatches(problem, sizes[0], batches, seed)
    if len(sizes) < 2:
        left_out["noise and conflicts"] = "they take two minibatches, and the data is one batch"
        sizes = []

    gradients: list[Tensor] = []
    used: list[int] = []  # places of their sizes
    empty = 0
    interrupted = False
    whole = problem.gradient()
    try:
        with progress("minibatch gradients", len(sizes)) as advance:
            for place, (size, batch) in enumerate(zip(sizes, chosen, strict=False)):
                if problem.weighting.weigh(batch, problem.batch_targets(batch)):
                    scale = examples / size if problem.weighting.sums else 1.0
                    gradients.append(problem.batch_gradient(parameters, batch) * scale)
                    used.append(place)
                else:
                    empty += 1  # e.g. all targets ignored: its mean is over nothing
                advance(1)
    except KeyboardInterrupt:
        if len(gradients) < 2:
            raise
        interrupted = True
    spent = sum(sizes[: len(gradients) + empty])
    kept = np.array(sizes, dtype=float)[used]
    spreads = 1 / kept - 1 / examples
    if refusal and used:
        spreads = _own_spreads(problem, counts, weights)[sorted(places)][used]
    grams = _grams(problem, [*gradients, whole])
    if empty:
        left_out[f"{empty} minibatches"] = "none of their targets counts"
    if not np.isfinite(grams).all():
        left_out["noise and conflicts"] = "a gradient is not finite"
    layers = layers_of(problem.layout)
    lengths = {part.name: part.stop - part.start for part in problem.layout}
    return GradientStatistics(
        layers=tuple(layers),
        parameters=np.array([sum(lengths[name] for name in names) for names in layers.values()]),
        grams=grams,
        batch_size=float(kept.mean()) if used else math.nan,
        spreads=spreads,
        examples=examples,
        sampling="own" if refusal else "drawn",
        gradients=1 + spent / examples,
        left_out=left_out,
        interrupted=interrupted,
    )


def _own_spreads(problem: Problem, counts: list[int], weights: list[float]) -> np.ndarray:
    """Expected squared distance of each batch's gradient to the whole, for examples of noise 1."""
    sizes = np.array(counts, dtype=float)
    shares = sizes if problem.weighting.sums else np.array(weights, dtype=float)
    shares = shares / shares.sum()
    return (1 - 2 * shares) / sizes + (shares**2 / sizes).sum()


def _survey(problem: Problem) -> tuple[list[int], list[float], str]:
    """Examples and weight of each batch, and why minibatches cannot be drawn from all; else nothing."""
    counts: list[int] = []
    weights: list[float] = []
    shapes = set()
    shared = False
    for batch, _ in problem.batches():
        count, found = count_examples(batch), tensors(batch)
        counts.append(count)
        weights.append(float(problem.weighting.weigh(batch, problem.batch_targets(batch))))
        shapes.add(tuple(tensor.shape[1:] for tensor in found))
        shared |= any(tensor.shape[:1] != (count,) for tensor in found)
    if not problem.can_split:
        return (
            counts,
            weights,
            f"examples weighted by {problem.weighting.rule} cannot be taken out of their batches",
        )
    if shared and len(counts) > 1:
        return counts, weights, "batches hold tensors without a row for each example, which cannot be joined"
    if len(shapes) > 1:
        return counts, weights, "batches of different shapes cannot be joined"
    return counts, weights, "there is one example only" if sum(counts) < 2 else ""


def _grams(problem: Problem, vectors: list[Tensor]) -> np.ndarray:
    """Inner products (L, v, v) of each layer's part of some vectors (n,), in float64."""
    slices = {part.name: (part.start, part.stop) for part in problem.layout}
    layers = layers_of(problem.layout)
    grams = torch.zeros(len(layers), len(vectors), len(vectors), dtype=torch.float64)
    for gram, names in zip(grams, layers.values(), strict=True):
        for start, stop in (slices[name] for name in names):
            for low in range(start, stop, _CHUNK):
                part = torch.stack([each[low : min(low + _CHUNK, stop)].double() for each in vectors])
                gram += (part @ part.T).cpu()
    return grams.numpy()
