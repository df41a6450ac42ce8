"""Outputs of named layers, recorded in one forward pass of a model that is left as it was."""

import dataclasses
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from workbench.choices import suggestion
from workbench.hooks import of_this_thread

_RANDOM = (
    "random numbers were drawn during a forward pass, so the maps may be random, too: F.dropout needs "
    "training=self.training, and a model model.eval()"
)
INPUT = "input"  # the name of the inputs among the layers


@dataclasses.dataclass(frozen=True)
class Captured:
    """What one forward pass left: the outputs, and the activations that they depend on.

    Attributes
    ----------
    logits : Tensor
        Outputs of the model, attached to the graph that leads to the activations.
    activations : dict of Tensor
        By layer, in the order asked for; ``"input"`` is a leaf of its own, not the caller's tensor.
    entering : dict of Tensor
        Inputs of those layers whose own inputs were asked for, detached copies.
    modules : dict of nn.Module
        Of the layers, without ``"input"``.
    """

    logits: Tensor
    activations: dict[str, Tensor]
    entering: dict[str, Tensor]
    modules: dict[str, nn.Module]


def capture(
    model: nn.Module, inputs: Tensor, layers: Sequence[str], *, entering: Sequence[str] = ()
) -> Captured:
    """Run the model once and keep what the named layers return.

    No graph is built before the first of the layers, whose output becomes a leaf, so that a backward pass
    stops there. What comes after a layer gets a copy of its output: a module that works in place does not
    overwrite what was recorded.

    Parameters
    ----------
    model : nn.Module
        Its parameters may be frozen; they get no gradient. No hook is left, also when it raises.
    inputs : Tensor (N, ...)
        May be an inference tensor, or require a gradient: the model gets a copy.
    layers : sequence of str
        Names from ``model.named_modules()``, or ``"input"``, which is never a module of that name.
    entering : sequence of str
        Those of the layers whose inputs are wanted too.

    Raises
    ------
    ValueError
        If a name is unknown, a layer does not run or runs more than once, or does not return a tensor, if the
        outputs depend on none of the layers, or if the model was made in inference mode.

    Notes
    -----
    Cost: one forward pass, and a copy of the inputs and of each layer's output. It warns if random numbers
    were drawn meanwhile.
    """
    modules = find_layers(model, layers)
    refuse_inference_model(model)
    found: dict[str, Tensor] = {}
    entered: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Tensor:
        if name in found:
            raise ValueError(f"layer {name!r} runs more than once in a forward pass: name one that runs once")
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer {name!r} returns a {type(output).__name__}, not a tensor: name one in it"
            )
        if name in entering:
            if not (arguments and isinstance(arguments[0], Tensor)):
                raise ValueError(
                    f"layer {name!r} is called without a tensor in the first place: name another"
                )
            entered[name] = arguments[0].detach().clone()
        if not output.requires_grad:
            output = _leaf(name, output)
            torch.set_grad_enabled(True)  # from the first layer on; `capture` resets it
        found[name] = output
        return output.clone()

    handles = []
    try:
        with torch.inference_mode(False), torch.set_grad_enabled(INPUT in layers):
            inputs = inputs.detach().clone()
            if INPUT in layers:
                found[INPUT] = _leaf(INPUT, inputs)
                inputs = found[INPUT].clone()
            for name, module in modules.items():
                handles.append(module.register_forward_hook(of_this_thread(partial(keep, name))))
            state = _random_state(inputs)
            logits = model(inputs)
            if not torch.equal(state, _random_state(inputs)):
                warnings.warn(_RANDOM, stacklevel=3)
    finally:
        for handle in handles:
            handle.remove()
    for name in layers:
        if name not in found:
            raise ValueError(f"layer {name!r} does not run in a forward pass: name one that does")
    if layers and isinstance(logits, Tensor) and not logits.requires_grad:
        raise ValueError(
            f"the score does not depend on layer {layers[0]!r}: is there a no_grad() around it, or a "
            "detach() behind it?"
        )
    return Captured(logits, {name: found[name] for name in layers}, entered, modules)


def _random_state(inputs: Tensor) -> Tensor:
    return torch.cuda.get_rng_state(inputs.device) if inputs.is_cuda else torch.get_rng_state()


def refuse_inference_model(model: nn.Module) -> None:
    """Refuse a model of inference tensors, which autograd cannot take."""
    first = next(model.parameters(), None)  # one stands for all: looking at each takes longer than a layer
    if first is not None and first.is_inference():
        raise ValueError(
            "the model was made in inference mode, and takes part in no gradient: build it outside of it, or "
            "copy.deepcopy(model) there"
        )


def find_layers(model: nn.Module, layers: Sequence[str]) -> dict[str, nn.Module]:
    """Modules by name, without the inputs.

    Raises
    ------
    ValueError
        If a name is unknown or given twice.
    TypeError
        If it is no text, such as a module.
    """
    found: dict[str, nn.Module] = {}
    for name in layers:
        if not isinstance(name, str):
            raise TypeError(f"a layer is a {type(name).__name__}: pass names from model.named_modules()")
        if layers.count(name) > 1:
            raise ValueError(f"layer {name!r} is named twice")
        if name == INPUT:
            continue
        try:
            found[name] = model.get_submodule(name)
        except AttributeError:
            found[name] = model
        if found[name] is model:
            names = [INPUT, *(known for known, _ in model.named_modules() if known)]
            some = f": name {', '.join(map(repr, names[:4]))}" + ", …" * (len(names) > 4)
            raise ValueError(
                f"layer {name!r} is none of the model's {len(names) - 1} modules"
                f"{suggestion(name, names) or some}"
            )
    return found


def _leaf(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise ValueError(f"{name!r} is {tensor.dtype}, which has no gradient: name a later layer")
    return tensor.detach().requires_grad_()
