"""A model as a function of what a layer returns, or of its inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workbench.hooks import of_this_thread
from workbench.saliency.capture import INPUT, capture, find_layers
from workbench.saliency.scores import check_logits, target_scores


def read_inputs(inputs: Any) -> Tensor:
    """Return the inputs as a tensor that autograd can take, without a graph.

    Raises
    ------
    TypeError
        If they are no tensor.
    ValueError
        If there are none.
    """
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs is a {type(inputs).__name__}: pass a tensor, to a model that takes one")
    if not inputs.dim() or not len(inputs):
        raise ValueError("inputs is empty: there is nothing to explain")
    if not inputs.is_inference():
        return inputs.detach()
    with torch.inference_mode(False):
        return inputs.clone()


def check_rows(layer: str, values: Tensor, count: int) -> Tensor:
    """Refuse what a layer returns if it is not one row for each input, as a batch that it folds or doubles.

    Raises
    ------
    ValueError
        If it is not.
    """
    if len(values) != count:
        raise ValueError(
            f"layer {layer!r} returns {len(values)} rows for {count} inputs: name one that returns as many"
        )
    return values


def layer_values(model: nn.Module, inputs: Tensor, layer: str) -> Tensor:
    """What the layer returns for these inputs; for ``"input"``, the inputs."""
    if layer == INPUT:
        return inputs
    return check_rows(layer, capture(model, inputs, (layer,)).activations[layer].detach(), len(inputs))


def logits_of(model: nn.Module, inputs: Tensor, rows: int) -> Tensor:
    """Logits (N, classes), with at most so many inputs at once; no graph is built."""
    with torch.no_grad():
        return torch.cat([check_logits(model(part)) for part in inputs.split(rows)])


def scores_from(
    model: nn.Module, inputs: Tensor, layer: str, values: Tensor, targets: Tensor, score: str
) -> Tensor:
    """Scores (n, T) of the model when the layer returns the values (n, ...), attached to the values.

    Parameters
    ----------
    model : nn.Module
        No hook is left, also when it raises.
    inputs : Tensor (n, ...)
        What the model is called with; for ``"input"`` the values are, instead.
    layer : str
        Runs once in a forward pass.
    values : Tensor (n, ...)
    targets : Tensor (n, T)
    score : {"logit", "probability", "loss"}
    """
    with torch.enable_grad():
        if layer == INPUT:
            return target_scores(model(values.clone()), targets, score)
        (module,) = find_layers(model, (layer,)).values()
        with _returning(module, values):
            return target_scores(model(inputs), targets, score)


def gradients_at(scores: Tensor, values: Tensor) -> Tensor:
    """Gradients (n, T, ...) of scores (n, T), of which each depends on its own row of the values alone.

    Raises
    ------
    ValueError
        If the scores do not depend on the values.
    """
    where = "the score does not depend on the layer: is there a no_grad() around it, or a detach() behind it?"
    if not scores.requires_grad:
        raise ValueError(where)
    with torch.enable_grad():
        columns = scores.sum(dim=0).unbind()
    last = len(columns) - 1
    found = [
        torch.autograd.grad(each, values, retain_graph=t < last, allow_unused=True)[0]
        for t, each in enumerate(columns)
    ]
    if any(each is None for each in found):
        raise ValueError(where)
    return torch.stack(found, dim=1)


@contextmanager
def _returning(module: nn.Module, values: Tensor) -> Iterator[None]:
    def hook(module: nn.Module, arguments: Any, output: Any) -> Tensor:
        return values.clone()  # what follows may work in place

    handle = module.register_forward_hook(of_this_thread(hook))
    try:
        yield
    finally:
        handle.remove()
