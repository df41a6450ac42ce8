"""What tests run in several processes at once: ``python rank_jobs.py JOB RANK RANKS FOLDER SECONDS``.

The ranks find each other by a file in the folder, and talk over the loopback interface alone.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from curvature_cases import Case, build
from torch import Tensor, nn

import workbench as wb
from workbench.curvature.operators import ProblemOperator

CASES = ("unequal_last_batch", "class_weights", "ignore_index", "sum", "cnn_batchnorm")
MATRICES: dict[str, Callable[..., Any]] = {
    "hessian": wb.curvature.hessian,
    "ggn": wb.curvature.ggn,
    "fisher": wb.curvature.fisher,
    "covariance": wb.curvature.gradient_covariance,
}
SAMPLED = ("unequal_last_batch", "ignore_index", "sum")
DTYPES = (torch.float64, torch.float32)


def squares(parameters: dict[str, Tensor]) -> Tensor:
    return sum((p.pow(4).sum() for p in parameters.values()), torch.zeros(()))


def products(problem_of: Callable[[Case], wb.Problem], group: Any) -> dict[str, Tensor]:
    """Products and what solvers make of them, by name; ``problem_of`` gives the data of this process."""
    results = {}
    for name in CASES:
        for dtype in DTYPES:
            problem = problem_of(build(name)).to(dtype=dtype)
            block = torch.randn(problem.num_parameters, 3, generator=torch.Generator().manual_seed(0))
            matrices = dict(MATRICES)
            if name in SAMPLED:
                matrices["sampled"] = lambda problem, **k: wb.curvature.fisher(problem, "mc", seed=3, **k)
            for kind, make in matrices.items():
                op = make(problem, check=False, process_group=group)
                results[f"{kind} {name} {dtype}"] = op @ block
    problem = problem_of(build("unequal_last_batch"))
    op = wb.curvature.hessian(problem, regularization=True, process_group=group)
    results["regularized"] = op.dense()
    results["restricted"] = op.restrict("2.*").dense()
    results["rebuilt"] = wb.curvature.ggn(problem, memory=0, process_group=group) @ torch.ones(op.shape[0])
    results["timed"] = wb.curvature.ggn(problem, plan="auto", process_group=group) @ torch.ones(op.shape[0])
    results["blocks"] = op.block_diagonal() @ torch.ones(op.shape[0])
    pairs = wb.curvature.eigenpairs(op, 3, method="lanczos", tol=1e-8)
    results["values"], results["vectors"] = pairs.values, pairs.vectors
    results["trace"] = torch.tensor([wb.curvature.trace(op, max_matvecs=20).value], dtype=torch.float64)
    return results


def whole(case: Case) -> wb.Problem:
    return case.problem(regularizer=squares, weight_decay=0.1)


def job_products(group: Any) -> dict[str, Tensor]:
    def share(case: Case) -> wb.Problem:
        problem = whole(case)
        batches = [batch for batch, _ in problem.batches()]
        return problem.with_data(batches[group.rank() :: group.size()])

    return products(share, group)


@contextmanager
def noted(notes: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
        notes[name] = "nothing was raised"
    except (Exception, KeyboardInterrupt) as error:
        notes[name] = f"{type(error).__name__}: {error}"


class Moody(nn.Module):
    """A linear layer that acts when it is called for the n-th time from now."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3).double()
        self.calls, self.act = 0, lambda: None

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls == 0:
            self.act()
        return torch.tanh(self.linear(x))


def moody() -> tuple[Moody, wb.Problem]:
    torch.manual_seed(0)
    model = Moody()
    data = (torch.randn(6, 4).double(), torch.arange(6) % 3)
    return model, wb.Problem(model.eval(), nn.CrossEntropyLoss(), data)


def ready(group: Any) -> tuple[Moody, ProblemOperator]:
    """An operator that calls its model for each product."""
    model, problem = moody()
    op = wb.curvature.hessian(problem, memory=0, check=False, process_group=group)
    op.plan()
    return model, op


def act_later(model: Moody, rank: int, group: Any, act: Callable[[], None], calls: int = 1) -> None:
    if group.rank() == rank:
        model.calls, model.act = calls, act


def fail() -> None:
    raise ValueError("the moon is full")


def interrupt() -> None:
    raise KeyboardInterrupt


def job_refusals(group: Any) -> dict[str, str]:
    """Messages, each of a rank that differs or fails, one after the other in the same processes."""
    notes: dict[str, str] = {}
    odd = group.rank() == 1
    ones = torch.ones(15)

    def make(problem: wb.Problem, **keywords: Any) -> Any:
        return wb.curvature.hessian(problem, check=False, process_group=group, **keywords)

    model, problem = moody()
    with noted(notes, "size"):
        make(problem.restrict("linear.bias") if odd else problem)
    with noted(notes, "dtype"):
        make(problem.to(dtype=torch.float32) if odd else problem)
    with noted(notes, "matrix"):
        (wb.curvature.ggn if odd else wb.curvature.hessian)(problem, process_group=group)
    with noted(notes, "vectors"):
        make(problem) @ (2 * ones if odd else ones)
    with torch.no_grad():
        model.linear.bias[0] += 0.001 * odd
    with noted(notes, "values"):
        make(problem)

    model, op = ready(group)
    notes["sent"] = f"{op.cost().communication_bytes:g}"
    act_later(model, 1, group, fail)
    with noted(notes, "failed"):
        op @ ones
    notes["afterwards"] = f"{(op @ ones).norm().item():.12g}"
    act_later(model, 1, group, interrupt, calls=4)
    pairs = wb.curvature.eigenpairs(op, 2, method="lanczos", tol=1e-12)
    notes["interrupted"] = f"{pairs.interrupted} {pairs.values.tolist()}"
    return notes


def job_death(group: Any) -> dict[str, str]:
    """Rank 1 is killed in the middle of an eigensolve."""
    notes: dict[str, str] = {}
    model, op = ready(group)
    act_later(model, 1, group, lambda: os.kill(os.getpid(), signal.SIGKILL), calls=4)
    with noted(notes, "death"):
        wb.curvature.eigenpairs(op, 2, method="lanczos", tol=1e-12)
    return notes


def job_silence(group: Any) -> dict[str, str]:
    """Rank 1 hangs."""
    notes: dict[str, str] = {}
    model, op = ready(group)
    act_later(model, 1, group, lambda: time.sleep(3600))
    with noted(notes, "silence"):
        op @ torch.ones(15)
    return notes


if __name__ == "__main__":
    job, rank, ranks, folder, seconds = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=int(rank),
        world_size=int(ranks),
        timeout=timedelta(seconds=float(seconds)),
    )
    done = globals()[f"job_{job}"](dist.group.WORLD)
    torch.save(done, Path(folder) / f"{rank}.pt")
    os._exit(0)  # not to wait at exit for a rank that is gone
