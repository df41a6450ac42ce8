"""Checkpoints: what is read, and one clear line for what is not."""

import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.checkpoints import label_checkpoints, read_state

STATE = OrderedDict(weight=torch.ones(2, 3), bias=torch.zeros(2))


@pytest.mark.parametrize("key", [None, "model", "state_dict", "model_state_dict"])
def test_a_state_is_found_in_files_and_beside_other_things(key: str | None, tmp_path: Path) -> None:
    content = STATE if key is None else {key: STATE, "epoch": 3, "loss": torch.tensor(0.1)}
    torch.save(content, tmp_path / "a.pt")
    for given in (content, tmp_path / "a.pt", str(tmp_path / "a.pt")):
        state = read_state(given)
        assert list(state) == ["weight", "bias"]
        assert torch.equal(state["weight"], STATE["weight"])


def write(path: Path, content: Any) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)


class Thing:
    """What a file of a trainer may hold, and reading would run code for."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a readable checkpoint: .*No such file"),
        (b"", "is not a readable checkpoint: "),
        (b"not a checkpoint at all", "damaged, or holds more than tensors"),
        (b"PK\x03\x04 cut off", "is not a readable checkpoint: "),
        ({"state_dict": STATE, "trainer": Thing()}, "holds more than tensors.*could run code"),
        ({"epoch": 3, "args": {}}, "holds no state dict of tensors, but 'epoch', 'args'"),
        ({}, "holds no state dict of tensors, but nothing"),
        ([1, 2], "holds a list, not a state dict"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(content: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    write(path, content)
    with pytest.raises(ValueError, match=words) as caught:
        read_state(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.pt is not a readable checkpoint") as caught:
        read_state(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


def test_safetensors_that_are_not_installed_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ValueError, match=r"a\.safetensors needs the package safetensors: pip install"):
        read_state(tmp_path / "a.safetensors")


def test_safetensors_are_read_by_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a stand-in for the package: its reader gets the path, its errors become one line."""

    def load_file(path: Path) -> dict[str, torch.Tensor]:
        if path.name == "bad.safetensors":
            raise RuntimeError("header too large\nmore words")
        return dict(STATE)

    package = types.ModuleType("safetensors.torch")
    package.load_file = load_file  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors.torch", package)
    assert list(read_state(tmp_path / "good.safetensors")) == ["weight", "bias"]
    with pytest.raises(ValueError, match=r"bad\.safetensors is not a readable checkpoint: header too large$"):
        read_state(tmp_path / "bad.safetensors")


def test_labels_are_keys_then_file_names_then_positions() -> None:
    assert list(label_checkpoints({0: STATE, 10: "a.pt"})) == ["0", "10"]
    assert list(label_checkpoints([STATE, "runs/step-5.pt", Path("step-6.pt")])) == ["0", "step-5", "step-6"]
    assert list(label_checkpoints(["a/last.pt", "b/last.pt"])) == ["0: last", "1: last"]
    assert list(label_checkpoints(iter(["a.pt"]))) == ["a"]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (STATE, TypeError, "a single state dict: pass a list"),
        ("a.pt", TypeError, "a single file: pass a list"),
        ([], ValueError, "there is no checkpoint"),
        ({}, ValueError, "there is no checkpoint"),
    ],
)
def test_what_is_not_several_checkpoints_is_refused(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        label_checkpoints(given)


def test_a_checkpoint_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="a int is not a checkpoint"):
        read_state(3)  # type: ignore[arg-type]
