"""Processors, threads and memory that a process may use."""

import os
from collections.abc import Iterator

import psutil

from workbench.control_groups import numbers, texts
from workbench.doctor.finding import OK, PROBLEM, WARNING, Finding
from workbench.doctor.kernel import Answers
from workbench.memory import free_bytes

_LITTLE_MEMORY, _NO_MEMORY = 2e9, 0.5e9  # bytes: a kernel with torch takes half a gigabyte


def check_threads(answers: Answers) -> Iterator[Finding]:
    """Show how many cores there are for how many threads, and what sets that."""
    cores = usable_cores()
    yield Finding("cores", OK, f"{cores} of {os.cpu_count()} may be used")
    if answers.torch is not None:
        threads = answers.torch["threads"]
        advice = f"set OMP_NUM_THREADS={cores}" if threads > cores else ""
        yield Finding("torch threads", WARNING if advice else OK, str(threads), advice)
    yield _number_of_threads(os.environ.get("OMP_NUM_THREADS"))
    yield _wait_policy(os.environ.get("OMP_WAIT_POLICY"))


def check_memory() -> Iterator[Finding]:
    """Show how much memory is free."""
    memory = psutil.virtual_memory()
    limit = min([memory.total, *numbers("memory.max"), *numbers("memory.limit_in_bytes")])
    free = free_bytes()
    state = PROBLEM if free < _NO_MEMORY else WARNING if free < _LITTLE_MEMORY else OK
    advice = "" if state == OK else "close notebooks and other programs; each kernel takes 0.5 GB and more"
    yield Finding("free memory", state, f"{free / 1e9:.1f} of {limit / 1e9:.1f} GB", advice)


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, and what its container allows."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _quotas())]))


def _number_of_threads(text: str | None) -> Finding:
    if text is None:
        return Finding("OMP_NUM_THREADS", OK, "not set: torch takes a thread per core")
    if all(part.strip().isdecimal() and int(part) > 0 for part in text.split(",")):
        return Finding("OMP_NUM_THREADS", OK, text)
    return Finding("OMP_NUM_THREADS", WARNING, f"{text!r} is not a number of threads", "unset or correct it")


def _wait_policy(text: str | None) -> Finding:
    if text is None:
        return Finding("OMP_WAIT_POLICY", OK, "PASSIVE, which Workbench sets for its kernels")
    if text.strip().upper() == "PASSIVE":
        return Finding("OMP_WAIT_POLICY", OK, text)
    advice = "unset it, and Workbench sets PASSIVE: threads that spin while they wait starve other kernels"
    return Finding("OMP_WAIT_POLICY", WARNING, text, advice)


def _quotas() -> Iterator[float]:
    """Cores that control groups allow, version 2 and 1."""
    for text in texts("cpu.max"):
        quota, period = text.split()
        if quota != "max":
            yield int(quota) / int(period)
    periods = numbers("cpu.cfs_period_us")
    for microseconds, per in zip(numbers("cpu.cfs_quota_us"), periods, strict=True):
        if microseconds > 0:  # -1 is no limit
            yield microseconds / per
