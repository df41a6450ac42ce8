"""Which folders in the temporary folder are left behind by dead runs."""

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.report.sockets import dead_sockets, remove_sockets

NAME = "wb-a1b2c3d_"


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def aged(folder: Path, days: float = 1.1) -> Path:
    then = time.time() - days * 86400
    os.utime(folder, (then, then))
    return folder


def dead(folder: Path) -> Path:
    """What a kernel that was killed leaves."""
    folder.mkdir()
    (folder / "kernel.json").write_text(json.dumps({"transport": "ipc", "ip": f"{folder}/kernel-ipc"}))
    for port in range(1, 6):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(f"{folder}/kernel-ipc-{port}")
    return aged(folder)


def test_those_of_a_dead_kernel_go(temporary: Path) -> None:
    folder = dead(temporary / NAME)
    assert dead_sockets() == [folder]
    remove_sockets(folder)
    assert list(temporary.iterdir()) == []


def test_so_does_that_of_a_run_whose_kernel_never_started(temporary: Path) -> None:
    (temporary / NAME).mkdir()
    assert dead_sockets() == []
    aged(temporary / NAME)
    assert dead_sockets() == [temporary / NAME]


def test_a_living_kernel_keeps_its_sockets_however_old(temporary: Path) -> None:
    folder = dead(temporary / NAME)
    (folder / "kernel-ipc-3").unlink()
    with socket.socket(socket.AF_UNIX) as kernel:
        kernel.bind(f"{folder}/kernel-ipc-3")
        kernel.listen()
        aged(folder, 10)
        assert dead_sockets() == []
        with pytest.raises(ValueError, match="changed"):
            remove_sockets(folder)
    assert len(list(folder.iterdir())) == 6
    assert dead_sockets() == [folder]


def test_what_may_be_somebody_elses_stays(temporary: Path) -> None:
    dead(temporary / "wb-longername0")
    dead(temporary / "xy-a1b2c3d_")
    aged(dead(temporary / "wb-youngone"), 0.9)
    for name, content in (("wb-withfile", "notes.txt"), ("wb-filelike", "kernel-ipc-9")):
        folder = dead(temporary / name)
        (folder / content).touch()
        aged(folder)
    folder = dead(temporary / "wb-folderin")
    (folder / "kernel-ipc-9").mkdir()
    aged(folder)
    other = dead(temporary / "wb-otherone")
    (other / "kernel.json").write_text(json.dumps({"ip": "127.0.0.1"}))
    aged(other)
    (temporary / "wb-alinkto0").symlink_to(dead(temporary / "elsewhere"))
    before = sorted(temporary.rglob("*"))
    assert dead_sockets() == []
    assert sorted(temporary.rglob("*")) == before


def test_those_of_another_user_stay(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead(temporary / NAME)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert dead_sockets() == []
