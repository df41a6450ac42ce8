"""``describe_problem``: what a problem is made of, and how good it is, from one forward pass."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.batches import Batch, tensors
from workbench.chance import chance_loss
from workbench.inspection.problem_description import ProblemDescription
from workbench.inspection.scores import score
from workbench.layout import lay_out, layers_of
from workbench.problem import Problem

_CHANCE_OUTPUTS = 2_000_000  # numbers of outputs over all data up to which the chance loss is cheap


def describe_problem(problem: Problem, held_out: Any = None) -> ProblemDescription:
    """Describe data and model, and measure loss and accuracy, or R², with their intervals.

    Parameters
    ----------
    problem : Problem
        Its model is not changed.
    held_out : DataLoader, re-iterable of batches, or (inputs, targets), optional
        Data that the model was not trained on, in the form of the problem's.

    Returns
    -------
    ProblemDescription
        An accuracy where targets are indices of classes, (N,), (N, T), or 0 and 1 for a binary cross
        entropy; R² where they are numbers in the shape of the outputs. Which output is which target's is
        asked of the loss, which may be any function: from outputs that know nothing, it has to fall fastest
        towards each target.

    Raises
    ------
    ValueError, TypeError
        If ``held_out`` cannot be read as data, see :meth:`workbench.Problem.with_data`.

    Notes
    -----
    Cost: one forward pass over the data, a third of a gradient, and one over the held-out data; the targets
    are read once more. The chance loss is arithmetic on outputs, and left out where these are more than two
    million numbers.
    """
    first, outputs = _first(problem)
    data, other = score(problem, outputs), None
    if held_out is not None:
        elsewhere = problem.with_data(held_out)
        other = score(elsewhere, _first(elsewhere)[1])
    chance, reason = _chance(problem, outputs, first)
    everything = lay_out(dict(problem.model.named_parameters()))
    shapes = {part.name: part.shape for part in everything}
    chosen = {part.name for part in problem.layout}
    layers = layers_of(everything)
    modules = dict(problem.model.named_modules())
    counts = {name: math.prod(shape) for name, shape in shapes.items()}
    return ProblemDescription(
        name=problem.name,
        model=type(problem.model).__name__,
        loss=getattr(problem.loss, "__name__", type(problem.loss).__name__),
        dtype=_dtype(problem.dtype),
        examples=data.examples,
        batches=problem.num_batches,
        inputs=_describe(_inputs(problem, first)),
        outputs=_describe(tensors(outputs)),
        targets=_describe(tensors(problem.batch_targets(first))),
        layers=tuple(layers),
        kinds=tuple(_kind(layer, names, modules) for layer, names in layers.items()),
        shapes=tuple(
            ", ".join(f"{name.rpartition('.')[2]} {_by(shapes[name])}" for name in names)
            for names in layers.values()
        ),
        counts=np.array([sum(counts[name] for name in names) for names in layers.values()]),
        selected=np.array(
            [sum(counts[name] for name in names if name in chosen) for names in layers.values()]
        ),
        buffers=sum(buffer.numel() for buffer in problem.model.buffers()),
        data=data,
        held_out=other,
        metrics=dict(problem.metrics),
        chance=chance,
        left_out={"chance loss": reason} if reason else {},
    )


def _first(problem: Problem) -> tuple[Batch, Any]:
    """The first batch, and the outputs for it."""
    batch, _ = next(problem.batches())
    with torch.no_grad():
        return batch, problem.outputs(problem.parameters(), batch)


def _chance(problem: Problem, outputs: Any, first: Batch) -> tuple[float, str]:
    """Loss of the best constant output; or nan, and why."""
    numbers = sum(tensor.numel() for tensor in tensors(outputs)) * problem.num_batches
    if numbers > _CHANCE_OUTPUTS:
        return math.nan, f"outputs of about {numbers:,} numbers make it costly"
    try:
        return chance_loss(problem), ""
    except Exception:  # a loss of one's own may raise anything for outputs that no model made
        return (
            math.nan,
            "no constant output has a least loss, or no row of outputs is an example's",
        )


def _inputs(problem: Problem, batch: Batch) -> list[Tensor]:
    """Tensors of a batch that are not its targets; all, if it has no others, as that of an autoencoder."""
    targets = {tensor.data_ptr() for tensor in tensors(problem.batch_targets(batch))}
    return [tensor for tensor in tensors(batch) if tensor.data_ptr() not in targets] or tensors(batch)


def _describe(found: list[Tensor]) -> str:
    return ", ".join(f"{_dtype(tensor.dtype)} {_by(tuple(tensor.shape))}" for tensor in found) or "no tensor"


def _kind(layer: str, names: Sequence[str], modules: Mapping[str, nn.Module]) -> str:
    """The module that holds a layer's parameters; of one that stands alone in a model, no module."""
    if names == [layer] and layer not in ("weight", "bias"):
        return "Parameter"
    return type(modules[names[0].rpartition(".")[0]]).__name__


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "scalar"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
