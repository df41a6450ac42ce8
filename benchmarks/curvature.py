"""Curvature products and eigenpairs: ours and the peers', the same work in one process.

The unit is one gradient over the same data: every figure is the least wall time over interleaved repeats,
divided by the least wall time of a gradient. Peers that are not installed are left out and named.

    python benchmarks/curvature.py [--repeats 9] [--width 512] [--threads 2]
"""

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from sklearn.datasets import load_digits
from torch import Tensor, nn

import workbench as wb

Work = Callable[[], Any]
Table = dict[tuple[str, str], Work]  # (task, whose) -> what to run


def trained_network(width: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A tanh network on the digits, trained for a few full-batch steps."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), x, y


def product_works(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Table:
    """Gradient, one vector, and eight columns, with the Hessian and the Gauss-Newton matrix."""
    problem = wb.Problem(model, nn.CrossEntropyLoss(), batches)
    hessian, ggn = wb.curvature.hessian(problem), wb.curvature.ggn(problem)
    vector = torch.randn(problem.num_parameters)
    block = torch.randn(problem.num_parameters, 8)
    works: Table = {
        ("gradient", "ours"): problem.gradient,
        ("Hessian × vector", "ours"): lambda: hessian @ vector,
        ("Hessian × 8 columns, each", "ours"): lambda: hessian @ block,
        ("GGN × vector", "ours"): lambda: ggn @ vector,
        ("GGN × 8 columns, each", "ours"): lambda: ggn @ block,
    }
    if curvlinops := optional("curvlinops"):
        parameters = list(model.parameters())
        arguments = (model, nn.CrossEntropyLoss(), parameters, batches)
        peer_hessian = curvlinops.HessianLinearOperator(*arguments)
        peer_ggn = curvlinops.GGNLinearOperator(*arguments)
        works |= {
            ("Hessian × vector", "curvlinops"): lambda: peer_hessian @ vector,
            ("Hessian × 8 columns, each", "curvlinops"): lambda: peer_hessian @ block,
            ("GGN × vector", "curvlinops"): lambda: peer_ggn @ vector,
            ("GGN × 8 columns, each", "curvlinops"): lambda: peer_ggn @ block,
        }
    if eigenthings := optional("hessian_eigenthings"):
        other = eigenthings.HessianOperator(model, batches, supervised_loss)
        works[("Hessian × vector", "hessian-eigenthings")] = lambda: other.matvec(vector)
    return works


def solver_works(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Table:
    """The five largest eigenvalues to a relative residual of 1e-3, set-up included."""
    problem = wb.Problem(model, nn.CrossEntropyLoss(), batches)
    works: Table = {
        ("gradient", "ours"): problem.gradient,
        ("top 5 of the Hessian", "ours"): lambda: wb.curvature.eigenpairs(
            wb.curvature.hessian(problem), 5, "LM", tol=1e-3
        ),
        ("density, 2 probes × 20 steps", "ours"): lambda: wb.curvature.spectral_density(
            wb.curvature.hessian(problem), probes=2, steps=20
        ),
    }
    if curvlinops := optional("curvlinops"):
        arguments = (model, nn.CrossEntropyLoss(), list(model.parameters()), batches)

        def top() -> Any:
            operator = curvlinops.HessianLinearOperator(*arguments).to_scipy()
            return eigsh(operator, k=5, which="LM", tol=1e-3)

        works[("top 5 of the Hessian", "curvlinops + eigsh")] = top
    return works


def supervised_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Loss in the form that hessian-eigenthings takes."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def optional(name: str) -> Any:
    """A peer's module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def fastest(works: Table, repeats: int) -> dict[tuple[str, str], float]:
    """Least wall time in seconds of each work; all of them run once per round, after one round unmeasured."""
    best = dict.fromkeys(works, float("inf"))
    for repeat in range(repeats + 1):
        for key, work in works.items():
            start = time.perf_counter()
            work()
            if repeat:
                best[key] = min(best[key], time.perf_counter() - start)
    return best


def report(title: str, works: Table, repeats: int) -> None:
    """Print each task's cost in gradients, and how much less that is than the best peer's."""
    times = fastest(works, repeats)
    gradient = times.pop(("gradient", "ours"))
    print(f"\n{title}: one gradient takes {1e3 * gradient:.1f} ms")
    print(f"{'task':32}{'whose':22}{'gradients':>10}{'peer / ours':>13}")
    for task in dict.fromkeys(task for task, _ in times):
        costs = {whose: seconds for (name, whose), seconds in times.items() if name == task}
        columns = 8 if "8 columns" in task else 1
        for whose, seconds in costs.items():
            gain = "" if whose == "ours" else f"{seconds / costs['ours']:.2f}"
            print(f"{task:32}{whose:22}{seconds / columns / gradient:10.2f}{gain:>13}")


def check(works: Table) -> None:
    """Peers and we must agree before times mean anything."""
    for (task, whose), work in works.items():
        if "×" in task and whose != "ours" and "probes" not in task:
            ours, theirs = works[(task, "ours")](), work()
            error = ((ours - theirs).norm() / ours.norm()).item()
            note = "" if error < 1e-4 else "   <- not the same matrix"
            print(f"{task:32}{whose:22}relative difference {error:.1e}{note}")
        if task.startswith("top 5") and whose != "ours":
            ours = np.sort(works[(task, "ours")]().values.numpy())
            print(f"{task:32}{whose:22}values {np.sort(work()[0])} against {ours}")


def main() -> None:
    """Run all comparisons and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--width", type=int, default=512, help="of the two hidden layers")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    missing = [name for name in ("curvlinops", "hessian_eigenthings") if optional(name) is None]
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}")
    model, x, y = trained_network(arguments.width)
    for title, batches in (
        ("one batch of 1797", [(x, y)]),
        ("batches of 400, the last of 197", list(zip(x.split(400), y.split(400), strict=True))),
    ):
        works = product_works(model, batches)
        check(works)
        report(title, works, arguments.repeats)
    works = solver_works(model, [(x, y)])
    check(works)
    report("eigenpairs and density, one batch", works, max(2, arguments.repeats // 3))


if __name__ == "__main__":
    main()
