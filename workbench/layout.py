"""Which parameters of a model are analysed, and where each stands in the flat vector."""

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

Selection = dict[str, nn.Parameter]


@dataclass(frozen=True)
class ParameterSlice:
    """Where one parameter stands in the flat vector: ``vector[start:stop].view(shape)``."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]


def lay_out(selection: Selection) -> tuple[ParameterSlice, ...]:
    """Put the selected parameters one after the other.

    Raises
    ------
    ValueError
        If they have no entry between them.
    """
    slices, start = [], 0
    for name, parameter in selection.items():
        slices.append(ParameterSlice(name, start, start + parameter.numel(), tuple(parameter.shape)))
        start += parameter.numel()
    if not start:
        raise ValueError(f"the selected parameters are empty: {', '.join(selection)}")
    return tuple(slices)


def layers_of(layout: Sequence[Any]) -> dict[str, list[str]]:
    """Names of the parameters of each layer: ``"blocks.0.linear"`` has its weight and bias."""
    return group_by_layer([part.name for part in layout])


def group_by_layer(names: Sequence[str]) -> dict[str, list[str]]:
    """Names of parameters by the module that holds them.

    Those that the model itself holds, such as positions, are a layer each; its own weight and bias are one,
    ``"weight, bias"``: the model is a layer then.
    """
    own = [name for name in names if name in ("weight", "bias")]
    layers: dict[str, list[str]] = {}
    for name in names:
        layer = name.rpartition(".")[0] or (", ".join(own) if name in own else name)
        layers.setdefault(layer, []).append(name)
    return layers


def trainable(model: nn.Module) -> Selection:
    """Every parameter that requires a gradient, each once, under its first name.

    Raises
    ------
    ValueError
        If there is none, or one is complex, uninitialised, made in inference mode or on another device than
        the rest.
    """
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ValueError(f"parameter {name!r} is not initialised yet: run the model once on a batch")
        if parameter.is_inference():
            raise ValueError(
                f"parameter {name!r} was made in torch.inference_mode(), so it cannot be differentiated: "
                "build or load the model outside of it"
            )
        if parameter.is_complex():
            raise ValueError(f"parameter {name!r} is complex, which is not supported: use two real ones")
    devices = {str(parameter.device) for parameter in model.parameters()}
    if len(devices) > 1:
        raise ValueError(f"the parameters are on several devices ({', '.join(sorted(devices))})")
    selection = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not selection:
        raise ValueError(f"{type(model).__name__} has no parameter that requires a gradient")
    return selection


def match(model: nn.Module, selection: Selection, patterns: str | Sequence[str]) -> Selection:
    """Those of ``selection`` that match a pattern such as ``"blocks.3.*"``; tied ones match by any name.

    Raises
    ------
    ValueError
        If a pattern matches none, with the nearest names.
    """
    aliases = list(model.named_parameters(remove_duplicate=False))
    selected = {id(parameter) for parameter in selection.values()}
    wanted: set[int] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        named = {
            id(parameter): parameter for name, parameter in aliases if fnmatch.fnmatchcase(name, pattern)
        }
        if not named.keys() & selected:
            raise ValueError(_explain_no_match(pattern, named, [name for name, _ in aliases]))
        wanted |= named.keys() & selected
    if not wanted:
        raise ValueError("no pattern was given, so no parameter is selected")
    return {name: parameter for name, parameter in selection.items() if id(parameter) in wanted}


def _explain_no_match(pattern: str, named: dict[int, nn.Parameter], names: list[str]) -> str:
    if named and not any(parameter.requires_grad for parameter in named.values()):
        return f"the parameters that match {pattern!r} are frozen (requires_grad=False)"
    if named:
        return f"the parameters that match {pattern!r} are outside the selection"
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4) or names[:3]
    return f"no parameter matches {pattern!r}; names are like {', '.join(near)}"
