import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

import workbench as wb
from workbench.kernels import dispatch
from workbench.kernels.dispatch import find_path, gpu_fault, takes_triton


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    gpu_fault.cache_clear()
    dispatch._warn.cache_clear()
    yield
    gpu_fault.cache_clear()
    dispatch._warn.cache_clear()


def fake(device, dtype=torch.float32):
    """What dispatch asks of a tensor, on a device that this machine need not have."""
    device = torch.device(device)
    return SimpleNamespace(device=device, dtype=dtype, is_cuda=device.type == "cuda")


@pytest.fixture
def gpu(monkeypatch):
    """Stand in for a GPU: torch sees it, and triton's driver is what the test makes of it."""
    driver = SimpleNamespace(active=SimpleNamespace(get_current_target=lambda: "cuda:90"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("triton.runtime.driver", driver)
    return driver


def test_tensors_on_the_cpu_take_pytorch():
    assert not takes_triton(torch.ones(3))
    assert find_path("cpu") == ("pytorch", "there are no kernels for the CPU")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_tensors_on_a_gpu_take_triton(dtype):
    assert takes_triton(fake("cuda", dtype), None, fake("cuda"))
    assert find_path("cuda") == ("triton", "the tensors are on a GPU")


@pytest.mark.usefixtures("gpu")
def test_float64_takes_pytorch():
    assert not takes_triton(fake("cuda"), fake("cuda", torch.float64))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("device", ["xpu", "mps", "meta"])
def test_other_devices_take_pytorch(device):
    assert not takes_triton(fake(device))


def test_the_interpreter_takes_triton_on_the_cpu(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert takes_triton(torch.ones(3))
    assert not takes_triton(torch.ones(3, dtype=torch.float64))


def test_a_broken_driver_is_one_clear_line(gpu):
    def broken():
        raise RuntimeError("0 active drivers ([]). There should only be one.\nmore\nlines")

    gpu.active.get_current_target = broken
    with pytest.warns(
        RuntimeWarning, match=r"^Triton does not work on this GPU: 0 active .*only be one\.; ker"
    ):
        assert not takes_triton(fake("cuda"))
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        assert not takes_triton(fake("cuda"))


@pytest.mark.usefixtures("gpu")
def test_a_gpu_without_triton_takes_pytorch_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton.runtime", None)
    with pytest.warns(RuntimeWarning, match="Triton is not installed: pip install triton"):
        assert not takes_triton(fake("cuda"))


def test_two_devices_are_refused():
    with pytest.raises(ValueError, match="tensors are on cpu and cuda: they must be on one device"):
        takes_triton(torch.ones(3), fake("cuda"))


def test_report_names_every_operation_and_both_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = wb.kernels.report()
    assert set(table["operation"]) == set(wb.kernels.__all__) - {"report"}
    assert list(table.columns) == ["operation", "device", "path", "why"]
    assert set(table["path"]) == {"pytorch"}
    assert set(table["why"]) == {"there are no kernels for the CPU", "there is no GPU"}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_operations_run_where_triton_is_missing():
    done = run(
        "import sys; sys.modules['triton'] = None\n"
        "import torch, workbench as wb\n"
        "for name in wb.kernels.__all__: getattr(wb.kernels, name)\n"
        "x = torch.ones(2, 3)\n"
        "print(wb.kernels.dora_compose(x, x, x[0]).sum().item(), len(wb.kernels.report()) > 1)"
    )
    assert done.stdout.split() == ["12.0", "True"], done.stderr


def test_import_of_the_package_imports_no_triton_and_no_torch():
    done = run(
        "import sys, workbench as wb; wb.kernels\n"
        "print([name for name in ('torch', 'triton') if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr
