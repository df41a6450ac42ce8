"""Amounts of memory, and what is free."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench import control_groups
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


@pytest.mark.parametrize("member", ["0::/a/b", "4:memory:/a/b"])
def test_a_container_s_limit_counts_wherever_it_is_set(
    member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version1 = "memory" in member
    root = tmp_path / "memory" if version1 else tmp_path
    limit = "memory.limit_in_bytes" if version1 else "memory.max"
    taken = "memory.usage_in_bytes" if version1 else "memory.current"
    (root / "a" / "b").mkdir(parents=True)
    (tmp_path / "membership").write_text(f"{member}\n")
    monkeypatch.setattr(control_groups, "_ROOT", tmp_path)
    monkeypatch.setattr(control_groups, "_MEMBERSHIP", tmp_path / "membership")
    assert 600_000 < free_bytes() <= psutil.virtual_memory().total
    (root / "a" / limit).write_text("1000000\n")  # of the group around
    (root / "a" / taken).write_text("400000\n")
    assert free_bytes() == 600_000
    (root / "a" / "b" / limit).write_text("max\n")
    (root / "a" / "b" / taken).write_text("300000\n")
    assert free_bytes() == 600_000
