"""Amounts of memory, and what is free."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench import memory
from workbench.memory import free_bytes, read_bytes, show_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4 * 10**9), ("512 MiB", 512 * 2**20), ("1.5kb", 1500), ("100", 100), (7, 7), (2e9, 2 * 10**9)],
)
def test_amounts_are_read(text: Any, expected: int) -> None:
    assert read_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "four", "4 GX", "-1GB", "1..2MB", -1, True, float("nan")])
def test_other_texts_are_refused_with_an_example(text: Any) -> None:
    with pytest.raises(ValueError, match="'4GB'"):
        read_bytes(text)


def test_amounts_are_shown_for_people() -> None:
    assert [show_bytes(x) for x in (0, 999, 1.5e3, 23_400_000, 5e12)] == [
        "0 B", "999 B", "1.5 kB", "23.4 MB", "5 TB"
    ]  # fmt: skip


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    without = free_bytes()
    assert 0 < without <= psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert free_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() > 600_000
