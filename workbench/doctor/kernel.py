"""The kernel of reports, asked what it is; and the one that other programs would take."""

import ast
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.doctor.finding import OK, PROBLEM, WARNING, Finding
from workbench.report.environment import run_environment
from workbench.report.sockets import PREFIX

if TYPE_CHECKING:
    from jupyter_client import AsyncKernelManager

_LIMIT = 30.0  # seconds for each answer, on a machine that is busy
_TICK = 0.2
_PREFIX = ("import sys, json", "json.dumps(sys.prefix)")
_TORCH = (
    """
import json, torch
devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
facts = {
    "version": torch.__version__,
    "build": f"CUDA {torch.version.cuda}" if torch.version.cuda else
             f"ROCm {torch.version.hip}" if torch.version.hip else None,
    "threads": torch.get_num_threads(),
    "devices": [torch.cuda.get_device_name(device) for device in devices],
}
""",
    "json.dumps(facts)",
)


@dataclass(frozen=True)
class Answers:
    """What a kernel of a report answered.

    Attributes
    ----------
    prefix : str or None
        Its ``sys.prefix``.
    torch : dict or None
        Of its torch: version, build (None for the CPU), threads, devices.
    error : str or None
        What came instead of the first answer that is missing.
    """

    prefix: str | None = None
    torch: dict[str, Any] | None = None
    error: str | None = None


def ask_kernel() -> Answers:
    """Start a kernel the way reports do, ask it, and end it; what goes wrong is in the answers."""
    answers: dict[str, Any] = {}
    try:
        # In a thread of its own, since the caller's may run an event loop, as a notebook's does.
        with tempfile.TemporaryDirectory(prefix=PREFIX) as sockets, ThreadPoolExecutor(1) as thread:
            questions = {"prefix": _PREFIX, "torch": _TORCH}
            thread.submit(lambda: asyncio.run(_ask_all(Path(sockets), questions, answers))).result()
    except Exception as error:  # jupyter_client may be broken too
        return Answers(**answers, error=" ".join(f"{type(error).__name__}: {error}".split()))
    return Answers(**answers)


def check_kernel(answers: Answers) -> Iterator[Finding]:
    """Say whether the kernel of reports is this interpreter."""
    if answers.prefix is None:
        advice = "try `python -m ipykernel_launcher`; reinstall ipykernel, pyzmq and jupyter_client"
        yield Finding("kernel", PROBLEM, f"it does not answer: {answers.error}", advice)
    elif answers.prefix != sys.prefix:
        advice = "unset PYTHONHOME and the like; activate one environment only"
        yield Finding("kernel", PROBLEM, f"sys.prefix {answers.prefix}, not {sys.prefix}", advice)
    else:
        yield Finding("kernel", OK, f"sys.prefix {answers.prefix}")


def check_registered() -> Iterator[Finding]:
    """Say whether plain papermill and JupyterLab would take the kernel of another environment."""
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("python3")
    program = spec.argv[0]
    if _is_this_interpreter(program):
        yield Finding("kernel python3", OK, "this interpreter")
        return
    advice = "reports do not take it, JupyterLab and papermill do: `jupyter kernelspec remove python3`"
    yield Finding("kernel python3", WARNING, f"{program}, registered in {spec.resource_dir}", advice)


def _is_this_interpreter(program: str) -> bool:
    major, minor = sys.version_info[:2]
    if program in ("python", f"python{major}", f"python{major}.{minor}"):  # jupyter_client puts in its own
        return True
    return Path(program).parent.resolve() == Path(sys.executable).parent.resolve()


async def _ask_all(sockets: Path, questions: dict[str, tuple[str, str]], answers: dict[str, Any]) -> None:
    from workbench.report.kernel import InterpreterKernelManager, private_sockets

    manager = InterpreterKernelManager(config=private_sockets(sockets))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    await manager.start_kernel(env=run_environment(), **quiet)
    client = manager.client()
    try:
        client.start_channels()
        await client.wait_for_ready(timeout=_LIMIT)
        for name, (code, expression) in questions.items():
            answers[name] = await _ask(manager, client, code, expression)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def _ask(manager: "AsyncKernelManager", client: Any, code: str, expression: str) -> Any:
    """Have the kernel run code, and return the value of an expression, which is JSON."""
    execution = client.execute(
        code, silent=True, user_expressions={"answer": expression}, reply=True, timeout=_LIMIT
    )
    reply = asyncio.ensure_future(execution)
    while not (await asyncio.wait([reply], timeout=_TICK))[0]:
        if not await manager.is_alive():
            reply.cancel()
            raise RuntimeError("the kernel died")
    content = (await reply)["content"]
    if content["status"] != "ok":
        raise RuntimeError(f"{content['ename']}: {content['evalue']}")
    return json.loads(ast.literal_eval(content["user_expressions"]["answer"]["data"]["text/plain"]))
