"""Memory: how much is free, and amounts as people write them."""

import re
from typing import TYPE_CHECKING

import psutil

from workbench import control_groups

if TYPE_CHECKING:
    import torch

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip
_ADVICE = "write bytes, or text such as '4GB' or '512MiB'"


def free_bytes(device: "torch.device | str" = "cpu") -> int:
    """Bytes that can still be taken on a device; on the CPU no more than a container's limit leaves."""
    if str(device).startswith("cuda"):
        import torch  # which the command line does without

        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *control_groups.memory_left()])


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
            raise ValueError(f"memory={amount!r} cannot be read: {_ADVICE}")
        return int(number * unit)
    if isinstance(amount, bool) or not amount >= 0:
        raise ValueError(f"memory={amount!r} is not an amount of memory: {_ADVICE}")
    return int(amount)


def show_bytes(amount: float) -> str:
    """Write an amount of memory for people, e.g. ``"3.2 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
