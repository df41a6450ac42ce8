"""``apply_dora``, ``apply_lora``: give layers of a model a low-rank update; and make them plain again."""

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from workbench.choices import suggestion
from workbench.layers.dora_convolution import DoRAConv2d
from workbench.layers.dora_layer import DoRALayer
from workbench.layers.dora_linear import DoRALinear
from workbench.layers.lora_linear import LoRALinear
from workbench.layers.low_rank_layer import LowRankLayer

_DORA: dict[type[nn.Module], Callable[..., LowRankLayer]] = {nn.Linear: DoRALinear, nn.Conv2d: DoRAConv2d}
_LORA: dict[type[nn.Module], Callable[..., LowRankLayer]] = {nn.Linear: LoRALinear}
_WORDS = {nn.Linear: "linear", nn.Conv2d: "convolutional"}


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
        As those of :class:`~workbench.layers.DoRALayer`.

    Returns
    -------
    tuple of str
        Names of the layers replaced.

    Raises
    ------
    ValueError
        If a pattern matches no candidate; the model is as it was then.
    """
    return _replace(model, patterns, _DORA, rank, alpha, options)


def apply_lora(
    model: nn.Module, patterns: str | Sequence[str], rank: int, alpha: float | None = None, **options: Any
) -> tuple[str, ...]:
    """Put a LoRA layer in the place of each linear layer whose name matches, and freeze all that is in none.

    As :func:`apply_dora`, for modules whose class is ``nn.Linear`` itself; ``rank``, ``alpha`` and
    ``**options`` are those of :class:`~workbench.layers.LoRALinear`.

    Raises
    ------
    ValueError
        If a pattern matches no candidate; the model is as it was then.
    """
    return _replace(model, patterns, _LORA, rank, alpha, options)


def merge_dora(model: nn.Module) -> tuple[str, ...]:
    """Put a plain layer with the merged weight in the place of each DoRA layer; return their names.

    The parameters of those layers are trainable then.
    """
    return _merge(model, DoRALayer)


def merge_lora(model: nn.Module) -> tuple[str, ...]:
    """Put a plain layer in the place of each LoRA layer, as :func:`merge_dora` does for DoRA."""
    return _merge(model, LoRALinear)


def dora_layers(model: nn.Module) -> dict[str, DoRALayer]:
    """Return the DoRA layers of a model by name, each once."""
    return {name: module for name, module in model.named_modules() if isinstance(module, DoRALayer)}


def _replace(
    model: nn.Module,
    patterns: str | Sequence[str],
    kinds: Mapping[type[nn.Module], Callable[..., LowRankLayer]],
    rank: int,
    alpha: float | None,
    options: Mapping[str, Any],
) -> tuple[str, ...]:
    inside = {id(layer.base) for layer in _low_rank_layers(model)}
    candidates = {
        name: module for name, module in _places(model) if type(module) in kinds and id(module) not in inside
    }
    chosen: dict[str, nn.Module] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        named = {name: each for name, each in candidates.items() if fnmatch.fnmatchcase(name, pattern)}
        if not named:
            words = " or ".join(_WORDS[kind] for kind in kinds)
            like = ", ".join(list(candidates)[:3]) or "none"
            hint = suggestion(pattern, candidates)
            raise ValueError(f"no {words} layer matches {pattern!r}; there are {like}, …{hint}")
        chosen |= named
    # A layer that stands in several places is replaced by one layer in all of them.
    layers = {id(each): kinds[type(each)](each, rank, alpha, **options) for each in chosen.values()}
    for name, module in chosen.items():
        layers[id(module)].train(module.training)
        model.set_submodule(name, layers[id(module)])
    adapted = {id(p) for layer in _low_rank_layers(model) for p in layer.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in adapted:
            parameter.requires_grad_(False)
    return tuple(chosen)


def _merge(model: nn.Module, kind: type[LowRankLayer]) -> tuple[str, ...]:
    places = {name: module for name, module in _places(model) if isinstance(module, kind)}
    plain = {id(layer): layer.merged_layer().train(layer.training) for layer in places.values()}
    for name, layer in places.items():
        model.set_submodule(name, plain[id(layer)])
    return tuple(places)


def _low_rank_layers(model: nn.Module) -> Iterator[LowRankLayer]:
    return (module for module in model.modules() if isinstance(module, LowRankLayer))


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every name of every module but the model itself."""
    return ((name, module) for name, module in model.named_modules(remove_duplicate=False) if name)
