"""Operators whose data is spread over processes: the same as in one process, and never a hang."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from curvature_cases import build
from rank_jobs import moody, products, whole

import workbench as wb

HERE = Path(__file__).parent


def child_environment() -> dict[str, str]:
    paths = [path for path in [*sys.path, str(HERE)] if path]
    loopback = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    return {**os.environ, **loopback}


def run(job: str, folder: Path, ranks: int = 2, seconds: float = 120) -> list[Any]:
    """What each rank saved, None for one that did not come so far. ``seconds``: the group's time limit."""
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / "rank_jobs.py", job, str(rank), str(ranks), folder, str(seconds)],
            env=child_environment(),
        )
        for rank in range(ranks)
    ]
    try:
        processes[0].wait(timeout=200)
        if job != "silence":
            for process in processes[1:]:
                process.wait(timeout=200)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    files = [folder / f"{rank}.pt" for rank in range(ranks)]
    return [torch.load(file) if file.exists() else None for file in files]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run("products", tmp_path_factory.mktemp("products"))


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return run("refusals", tmp_path_factory.mktemp("refusals"))


def test_two_processes_give_what_one_gives(shared: list[dict[str, Any]]) -> None:
    alone = products(whole, None)
    assert alone.keys() == shared[0].keys()
    for name, expected in alone.items():
        tolerance = 1e-5 if expected.dtype == torch.float32 else 1e-7 if name == "vectors" else 1e-10
        distance = (shared[0][name] - expected).norm() / expected.norm()
        assert distance < tolerance, (name, distance)


def test_all_processes_get_the_same_bits(shared: list[dict[str, Any]]) -> None:
    for name, mine in shared[0].items():
        torch.testing.assert_close(shared[1][name], mine, rtol=0, atol=0)


def test_the_share_of_a_process_alone_is_another_matrix(shared: list[dict[str, Any]]) -> None:
    """What is compared above would differ if nothing were summed."""
    problem = whole(build("unequal_last_batch"))
    first = problem.with_data([next(problem.batches())[0]])
    alone = wb.curvature.hessian(first, regularization=True).dense()
    assert (alone - shared[0]["regularized"]).norm() > 0.01 * alone.norm()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("size", "ValueError: rank 1 has another number of parameters than rank 0 (3, not 15)"),
        ("dtype", "ValueError: rank 1 has another dtype than rank 0 (float32, not float64)"),
        ("matrix", "ValueError: rank 1 has another matrix than rank 0 (GGN of loss, not Hessian of loss)"),
        ("values", "ValueError: rank 1 has other values of parameters or buffers than rank 0"),
        ("vectors", "ValueError: the ranks multiply different vectors"),
    ],
)
def test_ranks_that_differ_are_refused_on_all_of_them(
    refusals: list[dict[str, str]], what: str, message: str
) -> None:
    for notes in refusals:
        assert notes[what].startswith(message)


def test_what_fails_on_one_rank_fails_on_all(refusals: list[dict[str, str]]) -> None:
    assert refusals[0]["failed"] == "RuntimeError: rank 1 failed with ValueError: the moon is full"
    assert refusals[1]["failed"] == "ValueError: the moon is full"
    _, problem = moody()
    expected = (wb.curvature.hessian(problem) @ torch.ones(15)).norm().item()
    assert [float(notes["afterwards"]) for notes in refusals] == pytest.approx([expected] * 2, rel=1e-10)


def test_the_cost_tells_what_is_sent(refusals: list[dict[str, str]]) -> None:
    assert [notes["sent"] for notes in refusals] == [str(15 * 8)] * 2


def test_an_interrupt_of_one_rank_returns_what_there_is_on_all(refusals: list[dict[str, str]]) -> None:
    assert refusals[0]["interrupted"].startswith("True [")
    assert refusals[0]["interrupted"] == refusals[1]["interrupted"]


def test_a_rank_that_dies_is_an_error_on_the_others(tmp_path: Path) -> None:
    mine, dead = run("death", tmp_path)
    assert dead is None
    assert mine["death"].startswith("RuntimeError: rank 0 of 2 lost the others")


def test_a_rank_that_hangs_is_an_error_after_the_time_limit(tmp_path: Path) -> None:
    mine, _ = run("silence", tmp_path, seconds=8)
    assert mine["silence"].startswith("RuntimeError: rank 0 of 2 lost the others")


def test_what_is_no_group_is_refused() -> None:
    _, problem = moody()
    with pytest.raises(TypeError, match="process_group is a str, not a group"):
        wb.curvature.hessian(problem, process_group="gloo")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [wb.curvature.jacobian, wb.curvature.ntk])
def test_what_is_no_sum_over_examples_takes_no_group(make: Any) -> None:
    _, problem = moody()
    with pytest.raises(ValueError, match=f"{make.__name__} takes no process_group"):
        make(problem, process_group=object())


@pytest.mark.slow
def test_the_documented_launch_line_runs(tmp_path: Path) -> None:
    """In a network of its own, as torchrun listens on every interface."""
    isolated = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*isolated, "true"], capture_output=True).returncode:
        pytest.skip("this machine gives no network namespace, in which torchrun listens to nobody else")
    page = (HERE.parents[1] / "docs" / "large-models.md").read_text()
    (script,) = re.findall(r"<!-- file: spectrum.py -->\n```python\n(.*?)```", page, re.DOTALL)
    (line,) = re.findall(r"^OMP_NUM_THREADS=1 torchrun (.*) spectrum.py$", page, re.MULTILINE)
    (tmp_path / "spectrum.py").write_text(script)
    done = subprocess.run(
        [*isolated, sys.executable, "-m", "torch.distributed.run", *line.split(), "spectrum.py"],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    problem = wb.load_problem("digits-mlp", epochs=1)
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(problem), k=3, method="lanczos")
    assert f"{pairs.values[0].item():.3g}" in done.stdout
