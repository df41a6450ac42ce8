"""Memory: how much is free, and amounts as people write them."""

import re
from pathlib import Path

import psutil
import torch

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip
_ADVICE = "write bytes, or text such as '4GB' or '512MiB'"
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device | str = "cpu") -> int:
    """Bytes that can still be taken on a device; on the CPU no more than a container's limit leaves."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(int(psutil.virtual_memory().available), _left_in_container())


def read_bytes(amount: int | float | str) -> int:
    """Read an amount of memory: a number of bytes, or text such as ``"4GB"`` or ``"512 MiB"``.

    Raises
    ------
    ValueError
        If it is negative or cannot be read.
    """
    if isinstance(amount, str):
        match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([a-z]*)\s*", amount, re.IGNORECASE)
        unit = _UNITS.get(match[2].upper()) if match else None
        try:
            number = float(match[1]) if match else -1.0
        except ValueError:
            number = -1.0
        if unit is None or number < 0:
            raise ValueError(
                f"memory={amount!r} cannot be read: write bytes, or text such as '4GB' or '512MiB'"
            )
        return int(number * unit)
    if isinstance(amount, bool) or not amount >= 0:
        raise ValueError(f"memory={amount!r} is not an amount of memory: write bytes, or text such as '4GB'")
    return int(amount)


def show_bytes(amount: float) -> str:
    """Write an amount of memory for people, e.g. ``"3.2 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def _left_in_container() -> int:
    """What the control group of this process may still take; no limit counts as endless."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        return int(limit) - int((_CGROUP / "memory.current").read_text()) if limit != "max" else 2**62
    except (OSError, ValueError):
        return 2**62
