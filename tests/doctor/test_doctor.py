"""What the doctor finds, and that nothing takes it along."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from packaging.requirements import Requirement

from workbench import control_groups
from workbench.doctor import OK, PROBLEM, WARNING, Finding, browser, examine, folders, gpu, machine, software
from workbench.doctor import kernel as kernels
from workbench.doctor.finding import findings
from workbench.doctor.gpu import check_gpu
from workbench.doctor.kernel import Answers, ask_kernel, check_kernel, check_registered
from workbench.doctor.machine import check_memory, check_threads, usable_cores
from workbench.problems.cache_files import seal

CPU = {"version": "2.13.0+cpu", "build": None, "threads": 1, "devices": []}
CUDA = {"version": "2.13.0", "build": "CUDA 13.0", "threads": 1, "devices": ["A GPU"]}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TRITON_INTERPRET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def states(found: Iterator[Finding] | list[Finding]) -> dict[str, str]:
    found = list(found)
    assert all(bool(each.advice) == (each.state != OK) for each in found)
    return {each.check: each.state for each in found}


def value(found: Iterator[Finding], check: str) -> str:
    return next(each.value for each in found if each.check == check)


# ---- all of it


def test_all_is_looked_at_and_torch_stays_where_it_is() -> None:
    code = (
        "import dataclasses, json, sys; from workbench.doctor import examine; found = examine()\n"
        "print(json.dumps([[dataclasses.astuple(each) for each in found], 'torch' in sys.modules]))"
    )
    found, torch_is_imported = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    rows = {check: (state, text) for check, state, text, _ in found}
    assert not torch_is_imported
    assert rows["kernel"] == (OK, f"sys.prefix {sys.prefix}")
    assert rows["torch"][1].startswith(software.version("torch").split("+")[0])
    assert {
        "python", "workbench", "triton", "jupyterlab", "papermill", "plotly", "ipywidgets", "kernel python3",
        "gpu", "kernel path", "cores", "torch threads", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "free memory",
        "reports", "reports: locks", "cache", "cache: files", "browser", "chromium",
    } <= rows.keys()  # fmt: skip


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("two\nlines"), KeyError("x")])
def test_a_check_that_fails_is_a_problem_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("workbench.doctor.checks.ask_kernel", lambda: Answers(sys.prefix, CPU))
    monkeypatch.setattr(psutil, "virtual_memory", fail)
    found = examine()
    [memory] = [each for each in found if each.check == "memory"]
    assert memory.state == PROBLEM
    assert type(error).__name__ in memory.value
    assert "\n" not in memory.value
    assert found[-1].check == "chromium"


def test_what_a_check_found_before_it_failed_is_kept() -> None:
    def check() -> Iterator[Finding]:
        yield Finding("first", OK, "1")
        raise RuntimeError("second")

    assert [each.check for each in findings("both", check)] == ["first", "both"]


# ---- the kernel


def test_a_kernel_without_torch_still_says_who_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "torch.py").write_text("raise ImportError('libcudart.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", f"{place}:{os.environ.get('PYTHONPATH', '')}")
    answers = ask_kernel()
    assert answers.prefix == sys.prefix
    assert answers.error == "RuntimeError: ImportError: libcudart.so: cannot open shared object file"
    assert states(check_kernel(answers)) == {"kernel": OK}
    assert states(check_gpu(answers)) == {"torch": PROBLEM}
    assert "torch threads" not in states(check_threads(answers))


def test_a_kernel_that_torch_takes_with_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "torch.py").write_text("import os; os.kill(os.getpid(), 11)")
    monkeypatch.setenv("PYTHONPATH", f"{place}:{os.environ.get('PYTHONPATH', '')}")
    answers = ask_kernel()
    assert (answers.prefix, answers.torch) == (sys.prefix, None)
    assert answers.error == "RuntimeError: the kernel died"


def test_the_kernel_is_asked_from_within_an_event_loop_too() -> None:
    async def ask() -> Answers:
        return ask_kernel()

    with ThreadPoolExecutor(1) as thread:  # this one may run a loop, for a browser
        assert thread.submit(lambda: asyncio.run(ask())).result().prefix == sys.prefix


def test_a_kernel_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    answers = ask_kernel()
    assert answers.prefix is None
    assert states(check_kernel(answers)) == {"kernel": PROBLEM}
    assert "/nowhere/python" in value(check_kernel(answers), "kernel")


def test_a_kernel_of_another_environment() -> None:
    assert states(check_kernel(Answers("/another", CPU))) == {"kernel": PROBLEM}


@pytest.mark.parametrize(
    ("program", "state"),
    [("/opt/other/bin/python", WARNING), ("false", WARNING), (sys.executable, OK), ("python3", OK)],
)
def test_a_registered_kernel_elsewhere(place: Path, program: str, state: str) -> None:
    folder = place / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    content = {"argv": [program, "-f", "{connection_file}"], "display_name": "x", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(content))
    found = list(check_registered())
    assert states(found) == {"kernel python3": state}
    assert (str(folder) in found[0].value) == (state == WARNING)


# ---- GPU and kernels


@pytest.mark.parametrize(
    ("torch", "driver", "interpreter", "gpu_state", "path"),
    [
        (CPU, False, None, OK, (OK, "PyTorch, as there is no GPU")),
        (CPU, True, None, WARNING, (OK, "PyTorch")),
        ({**CUDA, "devices": []}, True, None, WARNING, (OK, "PyTorch")),
        (CUDA, True, None, OK, (OK, "Triton on the GPU")),
        (CUDA, True, "1", OK, (WARNING, "Triton's interpreter is on")),
        (CPU, False, "1", OK, (WARNING, "Triton's interpreter is on")),
    ],
)
def test_the_path_that_kernels_take(
    place: Path, monkeypatch: pytest.MonkeyPatch, torch: dict, driver: bool, interpreter: str | None,
    gpu_state: str, path: tuple[str, str],
) -> None:  # fmt: skip
    monkeypatch.setattr(gpu, "_DRIVER", place if driver else place / "nowhere")
    if interpreter:
        monkeypatch.setenv("TRITON_INTERPRET", interpreter)
    answers = Answers(sys.prefix, torch)
    assert states(check_gpu(answers)) == {"torch": OK, "gpu": gpu_state, "kernel path": path[0]}
    assert value(check_gpu(answers), "kernel path").startswith(path[1])


# ---- the machine


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    found = list(check_threads(Answers(sys.prefix, {**CPU, "threads": 64})))
    assert states(found)["torch threads"] == WARNING
    assert "set OMP_NUM_THREADS=2" in [each.advice for each in found]


@pytest.mark.parametrize(
    ("policy", "state", "text"),
    [
        (None, OK, "PASSIVE, which Workbench sets for its kernels"),
        ("passive", OK, "passive"),
        ("ACTIVE", WARNING, "ACTIVE"),
    ],
)
def test_the_wait_policy(monkeypatch: pytest.MonkeyPatch, policy: str | None, state: str, text: str) -> None:
    if policy:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    found = list(check_threads(Answers(sys.prefix, CPU)))
    assert states(found)["OMP_WAIT_POLICY"] == state
    assert value(iter(found), "OMP_WAIT_POLICY") == text


@pytest.mark.parametrize(
    ("text", "state"), [("4", OK), ("4,2", OK), ("0", WARNING), ("many", WARNING), ("", WARNING)]
)
def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch, text: str, state: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert states(check_threads(Answers(sys.prefix, CPU)))["OMP_NUM_THREADS"] == state


@pytest.mark.parametrize(
    ("files", "cores", "memory"),
    [
        ({}, 8, 64e9),
        ({"cpu.max": "max 100000", "memory.max": "max"}, 8, 64e9),
        ({"cpu.max": "250000 100000", "memory.max": "1000000000"}, 2, 1e9),
        ({"cpu.max": "50000 100000"}, 1, 64e9),
        ({"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 3, 64e9),
        ({"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 8, 64e9),
        ({"job/cpu.max": "100000 100000", "cpu.max": "400000 100000"}, 1, 64e9),
    ],
)
def test_a_container_has_what_it_is_given(
    place: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int, memory: float
) -> None:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text + "\n")
    (place / "membership").write_text("0::/job\n2:cpu,cpuacct:/\n3:memory:/\n")
    monkeypatch.setattr(control_groups, "_ROOT", place)
    monkeypatch.setattr(control_groups, "_MEMBERSHIP", place / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64e9, available=60e9))
    assert usable_cores() == cores
    assert f"of {memory / 1e9:.1f} GB" in value(check_memory(), "free memory")


@pytest.mark.parametrize(("free", "state"), [(30e9, OK), (1e9, WARNING), (0.1e9, PROBLEM)])
def test_little_memory(monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr(machine, "numbers", lambda name: [])
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64e9, available=free))
    assert states(check_memory()) == {"free memory": state}


# ---- folders


def test_a_folder_that_does_not_exist_yet_is_not_made(place: Path) -> None:
    assert set(states(folders.check_reports()).values()) == {OK}
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(("free", "state"), [(3e9, OK), (0.5e9, WARNING), (1e6, PROBLEM)])
def test_little_space(monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert states(folders.check_reports())["reports"] == state


def test_a_folder_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "file").touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(place / "file" / "cache"))
    assert states(folders.check_cache()) == {"cache": PROBLEM}
    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse(30, "Read-only file system"))
    assert states(folders.check_reports())["reports: write, lock"] == PROBLEM


@pytest.mark.parametrize(
    ("lock", "check"),
    [(lambda *arguments: None, "reports: locks"), (None, "reports: write, lock")],
    ids=["locks that do not hold", "refused locks"],
)
def test_a_file_system_without_locks(
    monkeypatch: pytest.MonkeyPatch, lock: Callable[..., None] | None, check: str
) -> None:
    monkeypatch.setattr(fcntl, "flock", lock or refuse(95, "Operation not supported"))
    assert states(folders.check_reports())[check] == PROBLEM


def refuse(code: int, message: str) -> Callable[..., None]:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(code, message)

    return refuse


def test_broken_files_of_the_cache_are_named(place: Path) -> None:
    (place / "cache").mkdir()
    good, bad = f"digits-mlp-{'0' * 20}.pt", f"text-gpt-{'1' * 20}.pt"
    (place / "cache" / good).write_bytes(seal(b"weights" * 100_000))
    (place / "cache" / f"{good[:-3]}.lock").touch()
    assert value(folders.check_cache(), "cache: files") == "1 trained problems, 0.7 MB"
    (place / "cache" / bad).write_bytes(seal(b"weights")[:-1])
    found = list(folders.check_cache())
    assert states(found)["cache: files"] == WARNING
    assert found[-1].value.endswith(f"broken: {bad}")


# ---- software and browser


def test_packages_that_are_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"plotly": "5.1", "papermill": "2.7", "scipy": "1", "jinja2": "3"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    wanted = [Requirement(text) for text in ("plotly>=6", "papermill>=2.6", "scipy", "jinja2", "pandas")]
    monkeypatch.setattr(software, "_requirements", lambda: wanted)
    monkeypatch.setattr(software, "version", version)
    found = list(software.check_software())
    assert states(found) == {
        "python": OK, "workbench": OK, "plotly": PROBLEM, "papermill": OK, "pandas": PROBLEM,
        "other packages": OK, "distributed": WARNING,
    }  # fmt: skip
    assert "pip install 'plotly>=6'" in [each.advice for each in found]


def test_what_only_extras_ask_for_is_not_asked_for() -> None:
    names = {each.name for each in software._requirements()}
    assert {"torch", "plotly", "papermill"} <= names
    assert not {"distributed", "pytest", "mypy"} & names


def test_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise browser.webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr("webbrowser.get", none)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert states(browser.check_browser()) == {"browser": WARNING, "chromium": WARNING}
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert value(browser.check_browser(), "chromium") == "/usr/bin/chromium"


def test_the_environment_is_that_of_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    environment = kernels.run_environment()
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "MPLBACKEND" not in environment
    assert "OMP_NUM_THREADS" not in environment
    assert kernels.run_environment(threads=3)["OMP_NUM_THREADS"] == "3"
