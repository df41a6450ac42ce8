"""Trace and diagonal estimates: ours and curvlinops', the same products, against the exact answer.

Figures are over many seeds: root mean square error relative to the answer, the stated standard error
relative to the true one, how often two-sided 90 % intervals hold the truth, and the time per run in
gradients. curvlinops states no errors; it is left out, with a word, if it is not installed.

    python benchmarks/traces.py [--seeds 100] [--matvecs 60] [--width 16]
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from curvature import optional
from scipy.stats import t as student
from sklearn.datasets import load_digits
from torch import Tensor, nn

import workbench as wb

Run = Callable[[int], tuple[np.ndarray, np.ndarray | None, int]]  # seed -> estimates, their errors, samples


def trained_network(width: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A tanh network on the digits after a few full-batch steps: outliers above a bulk."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), x, y


def our_trace(op: Any, method: str, matvecs: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Estimate, standard error and number of samples."""
    estimate = wb.curvature.trace(op, method, max_matvecs=matvecs, seed=seed)
    return np.array([estimate.value]), np.array([estimate.stderr]), len(estimate.samples)


def our_diagonal(op: Any, method: str, matvecs: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Entries, standard errors and number of samples."""
    estimate = wb.curvature.diagonal(op, method, max_matvecs=matvecs, seed=seed)
    return estimate.values.numpy(), estimate.stderr.numpy(), estimate.samples


def their_estimate(
    estimator: Callable[..., Tensor], op: Any, matvecs: int, seed: int
) -> tuple[np.ndarray, None, int]:
    """A peer's estimate; its probes come from the global generator."""
    torch.manual_seed(seed)
    return np.atleast_1d(estimator(op, num_matvecs=matvecs).numpy()), None, 0


def compare(title: str, truth: np.ndarray, runs: dict[str, Run], seeds: int, gradient: float) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(f"{'method':28}{'relative error':>16}{'stated / true':>15}{'90 % held':>11}{'gradients':>11}")
    for name, run in runs.items():
        start = time.perf_counter()
        outcomes = [run(seed) for seed in range(seeds)]
        seconds = (time.perf_counter() - start) / seeds
        deviations = np.array([values for values, _, _ in outcomes]) - truth
        error = np.sqrt(np.mean(deviations**2))
        line = f"{name:28}{error / np.sqrt(np.mean(truth**2)):16.2e}"
        if outcomes[0][1] is not None:
            stated = np.array([errors for _, errors, _ in outcomes])
            held = np.mean(np.abs(deviations) <= student.ppf(0.95, outcomes[0][2] - 1) * stated)
            line += f"{np.sqrt(np.mean(stated**2)) / error:15.2f}{100 * held:10.0f} %"
        else:
            line += f"{'-':>15}{'-':>11}"
        print(f"{line}{seconds / gradient:11.1f}")


def main() -> None:
    """Run the comparisons on the Hessian of a small trained network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--matvecs", type=int, default=60, help="of each estimate, a multiple of 6")
    parser.add_argument("--width", type=int, default=16, help="of the two hidden layers")
    arguments = parser.parse_args()
    model, x, y = trained_network(arguments.width)
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (x, y))
    op = wb.curvature.hessian(problem)
    diagonal = op.dense().double().diagonal().numpy()
    start = time.perf_counter()
    for _ in range(20):
        problem.gradient()
    gradient = (time.perf_counter() - start) / 20
    matvecs = arguments.matvecs
    traces: dict[str, Run] = {
        f"ours, {method}": partial(our_trace, op, method, matvecs)
        for method in ("hutchinson", "hutch++", "xtrace")
    }
    diagonals: dict[str, Run] = {
        f"ours, {method}": partial(our_diagonal, op, method, matvecs) for method in ("hutchinson", "xdiag")
    }
    if curvlinops := optional("curvlinops"):
        peer = curvlinops.HessianLinearOperator(
            model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)]
        )
        for name in ("hutchinson_trace", "hutchpp_trace", "xtrace"):
            traces[f"curvlinops, {name}"] = partial(their_estimate, getattr(curvlinops, name), peer, matvecs)
        for name in ("hutchinson_diag", "xdiag"):
            diagonals[f"curvlinops, {name}"] = partial(
                their_estimate, getattr(curvlinops, name), peer, matvecs
            )
    else:
        print("not installed, so left out: curvlinops")
    print(f"n = {len(diagonal)}, {matvecs} products, {arguments.seeds} seeds")
    print(f"one gradient takes {1e3 * gradient:.1f} ms")
    compare("trace", np.array([diagonal.sum()]), traces, arguments.seeds, gradient)
    compare("diagonal", diagonal, diagonals, arguments.seeds, gradient)


if __name__ == "__main__":
    main()
