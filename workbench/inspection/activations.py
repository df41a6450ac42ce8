"""``activity``: one forward and backward pass, watched module by module."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from workbench.batches import Batch, count_examples, slice_batch
from workbench.choices import check_count
from workbench.inspection.module_activity import Activity
from workbench.inspection.watching import Record, Watch
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator

_NAMED = 3  # modules that a reason names


def activity(problem: Problem, examples: int = 256, seed: int = 0) -> Activity:
    r"""Measure the outputs of all innermost modules, idle units, and the gradient of the loss there.

    Parameters
    ----------
    problem : Problem
        Its model is not changed: the hooks are gone afterwards, also when it raises.
    examples : int
        To look at, drawn at random from all; all if there are not as many. Where batches cannot be split,
        whole ones drawn at random until they hold so many.
    seed : int
        Of the draw.

    Returns
    -------
    Activity
        An interrupt (Ctrl-C) returns what is known of the batches so far.

    Raises
    ------
    ValueError, TypeError
        If an option is out of range.

    Notes
    -----
    A module is innermost if it called no other one. Seen as rectifiers are ``nn.ReLU``, ``nn.ReLU6``,
    ``nn.Hardswish`` and the functions of these names, as saturating ``nn.Tanh``, ``nn.Sigmoid`` and theirs;
    what is inside a fused module (the gates of a GRU), a ``clamp`` or a ``maximum`` is not. A unit is a
    channel: the dimension after the first for what a convolution, a pooling or BatchNorm returned and for
    tensors of four and more dimensions, else the last one. Gradients are those that lead to selected
    parameters: before the first of these, there is none.

    Cost: a forward and a backward pass over these examples. Memory: that of a training step on a batch.
    """
    check_count("examples", examples)
    counts = [count_examples(batch) for batch, _ in problem.batches()]
    source = generator(seed)
    taken = _share_out(problem, counts, examples, source)
    watch, parameters = Watch(), problem.parameters()
    seen = passes = 0
    interrupted = False
    try:
        with progress("activations", len(taken)) as advance, watch.watching(problem.model):
            for batch in _take(problem, counts, taken, source):
                size = count_examples(batch)
                watch.examples, watch.scale = size, 1.0 if problem.weighting.sums else float(size)
                problem.batch_gradient(parameters, batch)
                watch.flush()
                seen, passes = seen + size, passes + 1
                advance(1)
    except KeyboardInterrupt:
        if not passes:
            raise
        interrupted = True
    return _read(problem, watch.records, seen, passes, seen / sum(counts), interrupted)


def _share_out(problem: Problem, counts: list[int], examples: int, source: torch.Generator) -> dict[int, int]:
    """How many examples of which batch, in any order, make so many between them."""
    if problem.can_split:
        owners = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        drawn = owners[torch.randperm(len(owners), generator=source)[:examples]]
        return dict(Counter(drawn.tolist()))
    taken: dict[int, int] = {}
    for place in torch.randperm(len(counts), generator=source).tolist():
        if sum(taken.values()) < examples:
            taken[place] = counts[place]
    return taken


def _take(
    problem: Problem, counts: list[int], taken: dict[int, int], source: torch.Generator
) -> Iterator[Batch]:
    """The batches, or some of their examples, in the order of the data."""
    for place, (batch, _) in enumerate(problem.batches()):
        if place not in taken:
            continue
        count, size = counts[place], taken[place]
        part = torch.randperm(count, generator=source)[:size].sort().values.to(problem.device)
        yield batch if size == count else slice_batch(batch, count, part)


def _read(
    problem: Problem,
    records: dict[str, Record],
    examples: int,
    passes: int,
    gradients: float,
    interrupted: bool,
) -> Activity:
    found = list(records.values())
    roots = [record.values.root for record in found]
    slopes = [record.slope for record in found]
    units = [0 if record.alive is None else len(record.alive) for record in found]
    dead = [0 if record.alive is None else int((~record.alive).sum()) for record in found]
    return Activity(
        modules=tuple(records),
        kinds=tuple(record.kind for record in found),
        layers=np.array([record.layer and not record.apart for record in found], dtype=bool),
        calls=np.array([-(-record.calls // passes) for record in found], dtype=int),
        rms=np.array([root.value for root in roots]),
        rms_stderr=np.array([root.error for root in roots]),
        largest=np.array([record.largest for record in found]),
        gradient_rms=np.array([slope.value for slope in slopes]),
        gradient_rms_stderr=np.array([slope.error for slope in slopes]),
        units=np.array(units, dtype=int),
        dead=np.array(dead, dtype=int),
        zero=np.array([_share(record.zeros, record, record.rectifies) for record in found]),
        saturated=np.array([_share(record.flat, record, record.squashes) for record in found]),
        unfinite=np.array([record.unfinite for record in found], dtype=int),
        gradient_unfinite=np.array([record.gradient_unfinite for record in found], dtype=int),
        examples=examples,
        gradients=gradients,
        left_out=_reasons(problem, records),
        interrupted=interrupted,
    )


def _share(count: int, record: Record, applies: bool) -> float:
    return count / record.elements if applies and record.elements else math.nan


def _reasons(problem: Problem, records: dict[str, Record]) -> dict[str, str]:
    """What is not there, and why."""
    reasons = {}
    if not any(record.rectifies for record in records.values()):
        reasons["dead units"] = "no ReLU or the like was seen; a clamp or a maximum is not recognised"
    uneven = [
        name for name, record in records.items() if record.calls and record.rectifies and record.alive is None
    ]
    if uneven:
        reasons[f"dead units of {_list(uneven)}"] = "their number changes from batch to batch"
    empty = [name for name, record in records.items() if not record.calls]
    if empty:
        reasons[_list(empty)] = "returned tensors without an element"
    apart = [name for name, record in records.items() if record.apart]
    if apart:
        reasons[f"gradient and growth at {_list(apart)}"] = "its outputs have no row for each example"
    still = [
        name
        for name, record in records.items()
        if record.calls and not record.apart and math.isnan(record.slope.value)
    ]
    if still:
        reasons[f"gradient at {_list(still)}"] = "no selected parameter before, or no loss after"
    uncalled = [
        name
        for name, module in problem.model.named_modules()
        if not any(module.children()) and any(True for _ in module.parameters()) and name not in records
    ]
    if uncalled:
        reasons[_list(uncalled)] = "not called as a module, or without a tensor of numbers"
    return reasons


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name or "the model" for name in names[:_NAMED]) + more
