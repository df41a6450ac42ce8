"""Which path an operation takes: Triton where its tensors are on a GPU, else PyTorch."""

import functools
import os
import warnings
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TRITON, PYTORCH = "triton", "pytorch"
_ON = ("1", "true", "on", "yes", "y")  # what triton reads as on


class Path(NamedTuple):
    """``"triton"`` or ``"pytorch"``, and why."""

    name: str
    why: str


def takes_triton(*tensors: "Tensor | None") -> bool:
    """Whether an operation on these tensors is to launch its kernel; None stands for one left out.

    Raises
    ------
    ValueError
        If the tensors are not all on one device.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    devices = {str(tensor.device) for tensor in given}
    if len(devices) > 1:
        raise ValueError(f"tensors are on {' and '.join(sorted(devices))}: they must be on one device")
    exact = any(str(tensor.dtype) == "torch.float64" for tensor in given)
    path = find_path(given[0].device.type, exact=exact)
    if given[0].is_cuda and path.why == gpu_fault():
        _warn(path.why)
    return path.name == TRITON


def find_path(device: str, *, exact: bool = False) -> Path:
    """Return the path of tensors on a kind of device; ``exact`` if they are float64."""
    if exact:
        return Path(PYTORCH, "kernels compute in float32; these tensors are float64")
    if device == "cuda":
        fault = gpu_fault()
        return Path(PYTORCH, fault) if fault else Path(TRITON, "the tensors are on a GPU")
    if device == "cpu" and interpreting():
        return Path(TRITON, "TRITON_INTERPRET is on: kernels run as Python, for tests")
    return Path(PYTORCH, f"there are no kernels for the {device.upper()}")


def computing(*tensors: "Tensor") -> "torch.dtype":
    """Return the dtype that the PyTorch path computes in: float64 if one of the tensors is, else float32."""
    import torch

    exact = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if exact else torch.float32


def interpreting() -> bool:
    """Whether Triton's interpreter is on, which runs kernels as Python on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in _ON


@functools.cache
def gpu_fault() -> str | None:
    """Why Triton cannot run on a GPU here, in one line; None if it can."""
    import torch

    if not torch.cuda.is_available():
        return "there is no GPU"
    try:
        from triton.runtime import driver

        driver.active.get_current_target()
    except ModuleNotFoundError:
        return "Triton is not installed: pip install triton"
    except Exception as error:  # whatever a driver, a compiler or a damaged installation may raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        return f"Triton does not work on this GPU: {reason}"
    return None


@functools.cache  # once
def _warn(fault: str) -> None:
    warnings.warn(f"{fault}; kernels take their PyTorch path, which is slower", RuntimeWarning, stacklevel=2)
