"""An overview beside nngeom's ``analyze(depth="standard")``: time, gradients, errors against dense truth.

The same model and the same examples, in one process, on one thread. nngeom is no dependency of ours:

    pip install nngeom
    python benchmarks/overview.py [--budgets 100 400 30s 1min] [--alike 60 120]
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import nngeom
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.overview.sections.curvature_section import CurvatureSection

ALIKE = ("curvature", "loss")  # sections of what nngeom reports


def main() -> None:
    """Print a table of costs and one of errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budgets", nargs="+", default=["100", "400", "30s", "1min"])
    parser.add_argument("--alike", nargs="+", default=["60", "120"], help="budgets of what nngeom has, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    small = small_problem()
    values = torch.linalg.eigvalsh(wb.curvature.hessian(small.to(dtype=torch.float64)).dense())
    compare(small, (values[-1].item(), values.sum().item()), arguments)
    network = wb.load_problem("digits-cnn")
    matrix = wb.curvature.hessian(network.to(dtype=torch.float64))
    largest = wb.curvature.eigenpairs(matrix, 1, tol=1e-8).values[0].item()
    compare(network, (largest, wb.curvature.trace(matrix, rtol=5e-3, max_matvecs=1000).value), arguments)


def compare(problem: wb.Problem, truth: tuple[float, float], arguments: argparse.Namespace) -> None:
    """Print the rows of one problem; truth is the largest eigenvalue and the trace, in float64."""
    parts = zip(*(batch for batch, _ in problem.batches()), strict=True)
    inputs, targets = (torch.cat(part) for part in parts)
    gradient = min(timed(problem.gradient)[0] for _ in range(20))
    size = f"{problem.num_parameters} parameters, {len(inputs)} examples"
    print(f"\n{problem.name}: {size}, {1000 * gradient:.2f} ms a gradient\n")
    print("| | s | gradients of time | largest eigenvalue | its error | trace | its error |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(f"| float64 | | | {truth[0]:.6g} | | {truth[1]:.6g} | |")
    seconds, report = timed(lambda: nngeom_report(problem, inputs, targets))
    found = report.sections["curvature"]
    print_row("nngeom, standard", seconds, gradient, found["top_eigenvalue"], found["trace_estimate"], truth)
    # nngeom takes one batch, and no checkpoints
    alike = wb.Problem(problem.model, nn.CrossEntropyLoss(), (inputs, targets), name=problem.name)
    works = [("overview, curvature and loss", alike, ALIKE, budget) for budget in arguments.alike]
    works += [("overview", problem, None, budget) for budget in arguments.budgets]
    for name, measured, sections, budget in works:
        seconds, overview = timed(partial(page, measured, budget, sections))
        section = overview["curvature"]
        assert isinstance(section, CurvatureSection)
        trace = section.spectrum.density.trace if section.spectrum is not None else None
        print_row(f"{name}, {overview.budget}", seconds, gradient, section.sharpness, trace, truth)


def small_problem() -> wb.Problem:
    """Return a trained classifier of 1000 digits, small enough for its dense Hessian."""
    whole = wb.load_problem("digits-mlp", epochs=0)
    inputs, targets = (
        torch.cat(parts)[:1000] for parts in zip(*(b for b, _ in whole.batches()), strict=True)
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), (inputs, targets), name="small")


def nngeom_report(problem: wb.Problem, inputs: Tensor, targets: Tensor) -> Any:
    """Their report, with its page."""

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    report = nngeom.analyze(nngeom.Model(problem.model, loss_fn=loss), (inputs, targets), depth="standard")
    report.to_html("nngeom-benchmark.html")
    Path("nngeom-benchmark.html").unlink()
    return report


def page(problem: wb.Problem, budget: str, sections: tuple[str, ...] | None) -> wb.Overview:
    """Our overview, with its page."""
    overview = wb.analyze(problem, budget=budget, sections=sections)
    overview.to_html("overview-benchmark.html").unlink()
    return overview


def timed(work: Any) -> tuple[float, Any]:
    """Seconds of wall time, and what the work returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def print_row(
    name: str,
    seconds: float,
    gradient: float,
    largest: float | None,
    trace: float | None,
    truth: tuple[float, float],
) -> None:
    """One row, with relative errors."""
    cells = []
    for value, true in zip((largest, trace), truth, strict=True):
        cells += ["", ""] if value is None else [f"{value:.6g}", f"{abs(value / true - 1):.1e}"]
    print(f"| {name} | {seconds:.2f} | {seconds / gradient:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
