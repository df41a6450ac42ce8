"""Layers that have weights, in the order of the forward pass, and fresh weights for them."""

import copy
from functools import partial

import torch
from torch import Tensor, nn


def weighted_layers(model: nn.Module, inputs: Tensor) -> list[str]:
    """Names of the modules with parameters of their own, from input to output.

    The order is that of their first call. A module that is not called itself, such as the projection inside
    an attention, comes with the nearest module around it that is.

    Parameters
    ----------
    model : nn.Module
        Called once on the first input.
    inputs : Tensor (N, ...)
        Inputs of the model.
    """
    called: dict[str, int] = {}

    def note(name: str, module: nn.Module, arguments: tuple) -> None:
        called.setdefault(name, len(called))

    hooks = [module.register_forward_pre_hook(partial(note, name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad():
            model(inputs[:1])
    finally:
        for hook in hooks:
            hook.remove()

    def place(name: str) -> int:
        while name not in called:
            name = name.rpartition(".")[0]
        return called[name]

    named = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))]
    return sorted(named, key=place)


@torch.no_grad()
def reinitialise(module: nn.Module, seed: int) -> None:
    """Give a module's own parameters, in place, the values of a new module.

    ``reset_parameters`` is what a new module of torch calls; it resets the statistics of a normalisation,
    too. Where there is none, each parameter keeps its values in a random order. The global random state comes
    back.
    """
    drawn = copy.deepcopy(module).cpu()  # drawn on the CPU, so that the device does not matter
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        reset = getattr(drawn, "reset_parameters", None) or getattr(drawn, "_reset_parameters", None)
        if reset is not None:
            reset()
        else:
            for parameter in drawn.parameters(recurse=False):
                order = torch.randperm(parameter.numel(), device="cpu")
                parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    own = {name for name, _ in module.named_parameters(recurse=False)}
    own |= {name for name, _ in module.named_buffers(recurse=False)}
    fresh = dict(drawn.named_parameters(recurse=False)) | dict(drawn.named_buffers(recurse=False))
    for name in own:
        getattr(module, name).copy_(fresh[name])
