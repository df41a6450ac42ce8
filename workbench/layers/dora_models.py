"""``apply_dora``: give layers of a model a low-rank update; ``merge_dora``: make them plain again."""

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from workbench.choices import suggestion
from workbench.layers.dora_convolution import DoRAConv2d
from workbench.layers.dora_layer import DoRALayer
from workbench.layers.dora_linear import DoRALinear

_KINDS: dict[type[nn.Module], Callable[..., DoRALayer]] = {nn.Linear: DoRALinear, nn.Conv2d: DoRAConv2d}


def apply_dora(
    model: nn.Module, patterns: str | Sequence[str], rank: int, alpha: float | None = None, **options: Any
) -> tuple[str, ...]:
    """Put a DoRA layer in the place of each layer whose name matches, and freeze all that is in none.

    Parameters
    ----------
    model : nn.Module
        Is changed in place. Its own output stays what it was until the updates are trained.
    patterns : str or sequence of str
        Of names of modules, e.g. ``"blocks.*.mlp.*"``. Candidates are modules whose class is ``nn.Linear`` or
        ``nn.Conv2d`` itself: of a subclass it is not known what else reads its weight.
    rank, alpha, **options
        As those of :class:`~workbench.layers.DoRALinear`.

    Returns
    -------
    tuple of str
        Names of the layers replaced.

    Raises
    ------
    ValueError
        If a pattern matches no candidate; the model is as it was then.
    """
    inside = {id(layer.base) for layer in dora_layers(model).values()}
    candidates = {
        name: module for name, module in _places(model) if type(module) in _KINDS and id(module) not in inside
    }
    chosen: dict[str, nn.Module] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        named = {name: each for name, each in candidates.items() if fnmatch.fnmatchcase(name, pattern)}
        if not named:
            like = ", ".join(list(candidates)[:3]) or "none"
            hint = suggestion(pattern, candidates)
            raise ValueError(
                f"no linear or convolutional layer matches {pattern!r}; there are {like}, …{hint}"
            )
        chosen |= named
    # A layer that stands in several places is replaced by one layer in all of them.
    layers = {id(each): _KINDS[type(each)](each, rank, alpha, **options) for each in chosen.values()}
    for name, module in chosen.items():
        layers[id(module)].train(module.training)
        model.set_submodule(name, layers[id(module)])
    adapted = {id(p) for layer in dora_layers(model).values() for p in layer.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in adapted:
            parameter.requires_grad_(False)
    return tuple(chosen)


def merge_dora(model: nn.Module) -> tuple[str, ...]:
    """Put a plain layer with the merged weight in the place of each DoRA layer; return their names.

    The parameters of those layers are trainable then.
    """
    places = {name: module for name, module in _places(model) if isinstance(module, DoRALayer)}
    plain = {id(layer): layer.merged_layer().train(layer.training) for layer in places.values()}
    for name, layer in places.items():
        model.set_submodule(name, plain[id(layer)])
    return tuple(places)


def dora_layers(model: nn.Module) -> dict[str, DoRALayer]:
    """Return the DoRA layers of a model by name, each once."""
    return {name: module for name, module in model.named_modules() if isinstance(module, DoRALayer)}


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every name of every module but the model itself."""
    return ((name, module) for name, module in model.named_modules(remove_duplicate=False) if name)
