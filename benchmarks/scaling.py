"""How the cost of a gradient and of curvature products grows with parameters and with examples.

Dense networks on random data, float32. The slope in the log-log plot is 1 where cost is linear.

    python benchmarks/scaling.py [--threads 2] [--rounds 5] [--picture docs/scaling.png]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

import workbench as wb

INPUTS, CLASSES = 64, 10
WIDTHS = (256, 512, 1024, 2048, 3840)  # 9e4 to 3e7 parameters in three layers
EXAMPLES = (1_000, 3_000, 10_000, 30_000, 100_000)
BATCH = 5_000  # examples in a batch


def problem(width: int, examples: int) -> wb.Problem:
    """A network with two hidden layers, on data in batches."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(INPUTS, width), nn.Tanh(), nn.Linear(width, 2 * width), nn.Tanh(),
        nn.Linear(2 * width, CLASSES),
    )  # fmt: skip
    x, y = torch.randn(examples, INPUTS), torch.randint(0, CLASSES, (examples,))
    return wb.Problem(model, nn.CrossEntropyLoss(), list(zip(x.split(BATCH), y.split(BATCH), strict=True)))


def measure(here: wb.Problem, rounds: int) -> dict[str, float]:
    """Median seconds of each, all in turn; the first round, in which graphs are built, does not count."""
    vector = torch.randn(here.num_parameters)
    hessian, ggn = wb.curvature.hessian(here, check=False), wb.curvature.ggn(here, check=False)
    works: dict[str, Callable[[], object]] = {
        "gradient": here.gradient,
        "Hessian × vector": lambda: hessian @ vector,
        "GGN × vector": lambda: ggn @ vector,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in times.items()}


def sweep(settings: list[tuple[int, int]], rounds: int) -> pd.DataFrame:
    """One row per setting of (width, examples)."""
    rows = []
    for width, examples in settings:
        here = problem(width, examples)
        rows.append({"parameters": here.num_parameters, "examples": examples, **measure(here, rounds)})
        row = rows[-1]
        print(
            f"{row['parameters']:>10} parameters, {examples:>6} examples: gradient "
            f"{row['gradient']:.3g} s, Hessian {row['Hessian × vector'] / row['gradient']:.2f}, "
            f"GGN {row['GGN × vector'] / row['gradient']:.2f} gradients",
            flush=True,
        )
    return pd.DataFrame(rows)


def slope(table: pd.DataFrame, over: str, name: str) -> float:
    """Exponent of the growth."""
    return float(np.polyfit(np.log(table[over]), np.log(table[name]), 1)[0])


def draw(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Seconds over parameters and over examples, with the exponents."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    colors = {"gradient": "#555555", "Hessian × vector": "#0072B2", "GGN × vector": "#D55E00"}
    for axis, (over, table) in zip(figure.subplots(1, 2), tables.items(), strict=True):
        for name, color in colors.items():
            label = f"{name}, exponent {slope(table, over, name):.2f}"
            axis.loglog(table[over], table[name], ".-", color=color, label=label)
        axis.set_xlabel(over)
        axis.set_ylabel("seconds")
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=90)


def main() -> None:
    """Measure both sweeps and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tables = {
        "parameters": sweep([(width, 1_000) for width in WIDTHS], arguments.rounds),
        "examples": sweep([(256, count) for count in EXAMPLES], arguments.rounds),
    }
    for over, table in tables.items():
        for name in ("gradient", "Hessian × vector", "GGN × vector"):
            print(f"{name} over {over}: exponent {slope(table, over, name):.2f}")
    if arguments.picture:
        draw(tables, arguments.picture)


if __name__ == "__main__":
    main()
