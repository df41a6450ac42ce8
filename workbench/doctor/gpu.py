"""torch, the GPU, and which path the kernels take."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from workbench.doctor.finding import OK, PROBLEM, WARNING, Finding
from workbench.doctor.kernel import Answers
from workbench.kernels.dispatch import interpreting

_DRIVER = Path("/proc/driver/nvidia/version")


def check_gpu(answers: Answers) -> Iterator[Finding]:
    """Show torch's build, the devices it sees, and what Workbench's kernels run on."""
    if answers.torch is None:
        advice = "reinstall it: pip install --force-reinstall --no-deps torch"
        yield Finding("torch", PROBLEM, f"a kernel cannot import it: {answers.error}", advice)
        return
    torch = answers.torch
    yield Finding("torch", OK, f"{torch['version']}, built for {torch['build'] or 'the CPU'}")
    yield _gpu(torch["devices"], torch["build"])
    yield _path(bool(torch["devices"]))


def _gpu(devices: list[str], build: str | None) -> Finding:
    if devices:
        return Finding("gpu", OK, ", ".join(devices))
    if not _DRIVER.exists():
        return Finding("gpu", OK, "none")
    advice = "check the driver with `nvidia-smi`" if build else "install torch's build for CUDA (pytorch.org)"
    return Finding("gpu", WARNING, "there is an NVIDIA driver, but torch does not use it", advice)


def _path(has_gpu: bool) -> Finding:
    """Say which path the kernels take: Triton where tensors are on a GPU, else PyTorch."""
    if interpreting():
        value = "Triton's interpreter is on: kernels run as Python, thousands of times slower"
        return Finding("kernel path", WARNING, value, "unset TRITON_INTERPRET unless you test kernels")
    if not has_gpu:
        return Finding("kernel path", OK, "PyTorch, as there is no GPU; Triton's interpreter is off")
    if find_spec("triton") is None:
        return Finding("kernel path", WARNING, "PyTorch, as there is no Triton", "pip install triton")
    return Finding("kernel path", OK, "Triton on the GPU, PyTorch for tensors on the CPU")
