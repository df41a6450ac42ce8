"""``peft_state``: the updates of a model as a file of PEFT's holds them, and back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.choices import suggestion
from workbench.layers.dora_layer import DoRALayer
from workbench.layers.low_rank_models import dora_layers

_PREFIX = "base_model.model."


def peft_state(model: nn.Module) -> dict[str, Tensor]:
    """Return A, B and magnitudes of all DoRA layers under PEFT's names, as copies.

    What ``peft.set_peft_model_state_dict`` takes for the same model with ``LoraConfig(use_dora=True)`` of the
    same targets, rank and alpha, and what PEFT's ``adapter_model.safetensors`` holds.
    """
    state = {}
    for name, layer in dora_layers(model).items():
        for key, (parameter, shape) in _entries(name, layer).items():
            state[key] = parameter.detach().clone().view(shape)
    return state


@torch.no_grad()
def load_peft_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy what :func:`peft_state` or PEFT wrote into the DoRA layers of a model.

    Raises
    ------
    ValueError
        If names or shapes are not those of the model's layers; nothing is copied then.
    """
    given = {
        key.removesuffix(".weight") if _is_magnitude(key) else key: value for key, value in state.items()
    }
    wanted = {
        key: entry
        for name, layer in dora_layers(model).items()
        for key, entry in _entries(name, layer).items()
    }
    for key in wanted:
        if key not in given:
            raise ValueError(f"the state has no {key!r}{suggestion(key, given)}")
    for key, value in given.items():
        if key not in wanted:
            raise ValueError(f"the model has no place for {key!r}{suggestion(key, wanted)}")
        if value.shape != wanted[key][1]:
            raise ValueError(f"{key!r} has shape {tuple(value.shape)}, not {tuple(wanted[key][1])}")
    for key, (parameter, _) in wanted.items():
        parameter.copy_(given[key].view_as(parameter))


def _is_magnitude(key: str) -> bool:
    return key.endswith("lora_magnitude_vector.weight")


def _entries(name: str, layer: DoRALayer) -> dict[str, tuple[Tensor, torch.Size]]:
    """Each parameter of a layer and the shape that PEFT gives it, by PEFT's name."""
    a, b, magnitude = layer.lora_a, layer.lora_b, layer.magnitude
    ones = (1,) * (a.ndim - 2)  # of a convolution's window
    channels = (1, len(magnitude), *ones) if ones else (len(magnitude),)
    return {
        f"{_PREFIX}{name}.lora_A.weight": (a, a.shape),
        f"{_PREFIX}{name}.lora_B.weight": (b, torch.Size((*b.shape, *ones))),
        f"{_PREFIX}{name}.lora_magnitude_vector": (magnitude, torch.Size(channels)),
    }
