"""Checkpoints: state dicts or files that hold one, each with a label."""

import os
import pickle
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.batches import checksum

State = Mapping[str, Any]
Checkpoint = State | str | os.PathLike[str]

_WRAPPERS = ("model", "state_dict", "model_state_dict")  # where trainers put the model beside the optimiser


def label_checkpoints(checkpoints: Iterable[Checkpoint] | Mapping[Any, Checkpoint]) -> dict[str, Checkpoint]:
    """Give each checkpoint a label: its key in a mapping, the name of its file, else its position.

    Raises
    ------
    ValueError
        If there is none.
    TypeError
        If it is a single checkpoint, or one is neither a state dict nor a path.
    """
    if isinstance(checkpoints, str | os.PathLike):
        raise TypeError("checkpoints is a single file: pass a list, or a mapping of labels to files")
    if isinstance(checkpoints, Mapping):
        if any(isinstance(value, Tensor) for value in checkpoints.values()):
            raise TypeError("checkpoints is a single state dict: pass a list, or a mapping of labels to them")
        labelled = {str(label): checkpoint for label, checkpoint in checkpoints.items()}
    else:
        given = list(checkpoints)
        labels = [name_checkpoint(checkpoint, str(i)) for i, checkpoint in enumerate(given)]
        if len(set(labels)) < len(labels):  # files of the same name in several folders
            labels = [f"{i}: {label}" for i, label in enumerate(labels)]
        labelled = dict(zip(labels, given, strict=True))
    if not labelled:
        raise ValueError("there is no checkpoint: pass state dicts, .pt or .safetensors files")
    return labelled


def name_checkpoint(checkpoint: Checkpoint, otherwise: str) -> str:
    """Return the name of a checkpoint's file without its ending; what is no file is called ``otherwise``."""
    return Path(checkpoint).stem if isinstance(checkpoint, str | os.PathLike) else otherwise


def mark_checkpoints(checkpoints: Mapping[str, Checkpoint]) -> Hashable:
    """Return what changes with the labels, with a state, or with the size or the date of a file."""

    def mark(checkpoint: Checkpoint) -> Hashable:
        if not isinstance(checkpoint, str | os.PathLike):
            return checksum(list(checkpoint.values()))
        path = Path(checkpoint)
        return (str(path), path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else str(path)

    return tuple((label, mark(checkpoint)) for label, checkpoint in checkpoints.items())


def refuse_shared_memory(checkpoints: Mapping[str, Checkpoint]) -> None:
    """Refuse state dicts that hold the same tensors: those of a model change with its training.

    Raises
    ------
    ValueError
        If two of them do.
    """
    seen: dict[int, str] = {}
    for label, checkpoint in checkpoints.items():
        if not isinstance(checkpoint, Mapping):
            continue
        for tensor in read_state(checkpoint).values():
            other = seen.setdefault(tensor.data_ptr(), label) if isinstance(tensor, Tensor) else label
            if other != label and tensor.numel():
                raise ValueError(
                    f"checkpoints {other!r} and {label!r} hold the same tensors, so they are one state: keep "
                    "copy.deepcopy(model.state_dict())"
                )


def read_state(checkpoint: Checkpoint) -> State:
    """Return the state dict of a model; one that lies under a usual name beside other things is found.

    Files are read as data, never as code; their tensors come to the CPU.

    Raises
    ------
    ValueError
        If the file is missing, damaged, or holds something else.
    TypeError
        If it is neither a state dict nor a path.
    """
    if isinstance(checkpoint, str | os.PathLike):
        return _find_state(_read_file(Path(checkpoint)), str(checkpoint))
    if not isinstance(checkpoint, Mapping):
        raise TypeError(f"a {type(checkpoint).__name__} is not a checkpoint: pass a state dict or a file")
    return _find_state(checkpoint, "the mapping")


def _read_file(path: Path) -> Any:
    load = _safetensors_reader(path) if path.suffix == ".safetensors" else _load
    try:
        return load(path)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is damaged, or holds more than tensors, which is not read because it could run code: "
            "save model.state_dict()"
        ) from error
    except Exception as error:  # torch and safetensors raise a dozen kinds for damaged files
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(f"{path} is not a readable checkpoint: {reason}") from error


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors_reader(path: Path) -> Callable[[Path], Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ValueError(f"{path} needs the package safetensors: pip install safetensors") from error
    return load_file


def _find_state(content: Any, where: str) -> State:
    if isinstance(content, Mapping):
        for candidate in (*(content.get(name) for name in _WRAPPERS), content):
            if isinstance(candidate, Mapping) and any(isinstance(v, Tensor) for v in candidate.values()):
                return candidate
        keys = ", ".join(map(repr, list(content)[:5])) or "nothing"
        raise ValueError(f"{where} holds no state dict of tensors, but {keys}")
    raise ValueError(f"{where} holds a {type(content).__name__}, not a state dict")
