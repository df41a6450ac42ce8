"""Batches: what may be passed as data, and how a batch is read, sliced, moved and recognised."""

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

Batch = Any
Forward = Callable[[nn.Module, Batch], Any]
Targets = Callable[[Batch], Any]


def as_batches(data: Any) -> Iterable[Batch]:
    """Read ``data`` as something that can be iterated again and again, one batch at a time.

    A tuple of two whose first or second item is a tensor is one (inputs, targets) pair; a list and any other
    re-iterable holds batches.

    Raises
    ------
    TypeError
        If ``data`` is an iterator (used up after one pass), or cannot be iterated at all.
    ValueError
        If a DataLoader shuffles.
    """
    if isinstance(data, tuple) and len(data) == 2 and any(isinstance(item, Tensor) for item in data):
        return [data]
    if isinstance(data, Tensor | nn.Module | str | Mapping):
        raise TypeError(
            f"data is a {type(data).__name__}: pass (inputs, targets), a list of batches or a DataLoader"
        )
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        raise TypeError(
            f"data is a {type(data).__name__} of single examples: pass DataLoader(data, batch_size=...)"
        )
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise TypeError(f"data is a {type(data).__name__}, which cannot be iterated")
    if hasattr(data, "__next__"):
        raise TypeError(
            f"data is an iterator ({type(data).__name__}), used up after one pass: pass list(data)"
        )
    if isinstance(data, DataLoader) and isinstance(data.sampler, RandomSampler):
        raise ValueError(
            "the DataLoader shuffles, so its batches change from pass to pass: build it with shuffle=False"
        )
    return data


def default_forward(model: nn.Module, batch: Batch) -> Any:
    """``model(inputs)`` for a batch ``(inputs, targets)``; several inputs are spread, a dict by name."""
    inputs = batch[0] if len(batch) == 2 else batch[:-1]
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple | list):
        return model(*inputs)
    return model(inputs)


def default_targets(batch: Batch) -> Any:
    """Return the last item of a batch that is a tuple or a list."""
    return batch[-1]


def check_default_form(batch: Batch, *, forward: bool, targets: bool) -> None:
    """Refuse a batch that the default ``forward`` and ``targets`` cannot read, naming what to pass."""
    if isinstance(batch, tuple | list) and len(batch) >= 2:
        return
    missing = [name for name, is_default in (("forward", forward), ("targets", targets)) if is_default]
    if missing:
        raise TypeError(
            f"a batch is a {type(batch).__name__}"
            + (f" with keys {sorted(map(str, batch))}" if isinstance(batch, Mapping) else "")
            + ", not (inputs, targets): pass "
            + " and ".join(f"{name}=" for name in missing)
            + ", e.g. forward=lambda model, batch: model(**batch).logits, "
            "targets=lambda batch: batch['labels']"
        )


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """Apply ``function`` to every tensor of nested tuples, lists and mappings; the rest stays as it is."""
    if isinstance(tree, Tensor):
        return function(tree)
    if type(tree) in (tuple, list):  # most batches: many times as quick as by torch's trees
        return type(tree)(map_tensors(function, branch) for branch in tree)

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return function(leaf)
        if isinstance(leaf, Mapping):  # one that torch does not know as a tree, e.g. a tokenizer's
            return _with_values(leaf, {key: map_tensors(function, value) for key, value in leaf.items()})
        return leaf

    return tree_map(visit, tree)


def _with_values(mapping: Mapping[Any, Any], values: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping of the same kind, which may be read by attributes too, with these values."""
    if not isinstance(mapping, MutableMapping):
        return values
    other = copy.copy(mapping)
    for key, value in values.items():
        other[key] = value
    return other


def tensors(tree: Any) -> list[Tensor]:
    """Every tensor of nested tuples, lists and mappings, in order."""
    found: list[Tensor] = []
    map_tensors(found.append, tree)
    return found


def begin(data: Iterable[Batch]) -> Iterator[Batch]:
    """Begin a pass. A DataLoader draws from the global generator then; that generator's state comes back."""
    with torch.random.fork_rng(devices=[]):
        return iter(data)


def count_examples(tree: Any) -> int:
    """Length of the first dimension of the first tensor that has one; scalars alone are one example."""
    leaves = tensors(tree)
    if not leaves:
        raise ValueError("a batch has no tensor, so its examples cannot be counted: pass weight=")
    return next((leaf.shape[0] for leaf in leaves if leaf.dim()), 1)


def slice_batch(batch: Batch, count: int, part: slice | Tensor) -> Batch:
    """Take some of the ``count`` examples of a batch; tensors of another length are kept whole."""
    return map_tensors(lambda leaf: leaf[part] if leaf.dim() and leaf.shape[0] == count else leaf, batch)


def move(tree: Any, device: torch.device | None, dtype: torch.dtype | None) -> Any:
    """Move every tensor to ``device`` and cast the floating ones to ``dtype``; None leaves that as it is."""

    def move_one(leaf: Tensor) -> Tensor:
        leaf = leaf.clone() if leaf.is_inference() else leaf  # autograd does not take inference tensors
        return leaf.to(device=device, dtype=dtype if leaf.is_floating_point() else None)

    return map_tensors(move_one, tree)


def concatenate(trees: list[Any]) -> Any:
    """Join the tensors of equally built trees along their first dimension, scalars to a vector.

    What is no tensor is taken from the first tree.
    """
    joined = iter([_join(leaves) for leaves in zip(*map(tensors, trees), strict=True)])
    return map_tensors(lambda _: next(joined), trees[0])


def _join(leaves: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(leaves) if leaves[0].dim() else torch.stack(leaves)


def checksum(batch: Batch) -> int:
    """Return a number that changes when any byte of the batch does."""
    value = 0
    for leaf in tensors(batch):
        flat = leaf.detach().cpu().contiguous().reshape(-1)
        value = zlib.crc32(flat.view(torch.uint8).numpy().data, value)
    return value
