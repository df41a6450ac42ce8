"""Checkpoints: state dicts or files that hold one, each with a label."""

import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.problem import Problem

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


def problem_at(problem: Problem, checkpoint: Checkpoint, label: str) -> Problem:
    """Return the problem on a copy of its model that holds the checkpoint.

    Raises
    ------
    ValueError
        If the checkpoint cannot be read, does not fit the model, or its loss is not finite; with its label.
    """
    try:
        return problem.at(read_state(checkpoint))
    except ValueError as error:
        raise ValueError(f"checkpoint {label!r}: {error}") from error


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
