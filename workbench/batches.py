"""Batches: what may be passed as data, and how a batch is read, sliced, moved and recognised."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
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
    if isinstance(tree, Mapping) and not isinstance(tree, dict):
        tree = dict(tree)  # e.g. a tokenizer's BatchEncoding
    return tree_map(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, tree)


def tensors(tree: Any) -> list[Tensor]:
    """Every tensor of nested tuples, lists and mappings, in order."""
    if isinstance(tree, Mapping) and not isinstance(tree, dict):
        tree = dict(tree)
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


def count_examples(tree: Any) -> int:
    """Length of the first dimension of the first tensor; a scalar is one example."""
    leaves = tensors(tree)
    if not leaves:
        raise ValueError("a batch has no tensor, so its examples cannot be counted: pass weight=")
    return leaves[0].shape[0] if leaves[0].dim() else 1


def slice_batch(batch: Batch, count: int, part: slice) -> Batch:
    """Take some of the ``count`` examples of a batch; tensors of another length are kept whole."""
    return map_tensors(lambda leaf: leaf[part] if leaf.dim() and leaf.shape[0] == count else leaf, batch)


def move(tree: Any, device: torch.device | None, dtype: torch.dtype | None) -> Any:
    """Move every tensor to ``device`` and cast the floating ones to ``dtype``; None leaves that as it is."""
    return map_tensors(
        lambda leaf: leaf.to(device=device, dtype=dtype if leaf.is_floating_point() else None), tree
    )


def concatenate(trees: list[Any]) -> Any:
    """Join the tensors of equally built trees along their first dimension."""
    columns = [tree_flatten(tree)[0] for tree in trees]
    _, structure = tree_flatten(trees[0])
    return tree_unflatten([torch.cat(list(leaves)) for leaves in zip(*columns, strict=True)], structure)


def checksum(batch: Batch) -> int:
    """Return a number that changes when any byte of the batch does."""
    value = 0
    for leaf in tensors(batch):
        flat = leaf.detach().cpu().contiguous().reshape(-1)
        value = zlib.crc32(flat.view(torch.uint8).numpy().data, value)
    return value
