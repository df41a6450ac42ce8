"""Does advice on learning rates hold? Fresh runs at multiples of the advised limit, for built-in problems.

Networks are at their initialisation, but for imagenet-mobilenet, which comes trained and is left out where
its weights are not installed. A run survives if its loss over all the data ends under that of the best
constant output; half of the advised rate should survive in 19 of 20 fresh runs, and 8 times it in few. One
rule for all: batches of 32, or of half the examples if that is less; 100 steps, but 30 for text-gpt and
digit-canvas and 5 for imagenet-mobilenet, whose steps take longest.

    python benchmarks/rate_advice.py [--problem NAME ...] [--seeds 5] [--fresh 20] [--rows FILE]
"""

import argparse
import json
import time
from pathlib import Path

import torch

import workbench as wb
from workbench.stability.rate_advice import RateShares, rate_limit, rate_limit_cost, rate_shares

STEPS = {
    "digits-mlp": 100,
    "diabetes-mlp": 100,
    "digits-cnn": 100,
    "digits-transformer": 100,
    "faces-cnn": 100,
    "text-gpt": 30,
    "digit-canvas": 30,
    "imagenet-mobilenet": 5,
}
OPTIMIZERS = ("sgd", "momentum", "adam")
COLUMNS = (
    "problem",
    "optimizer",
    "limit",
    "seeds",
    "gradients (expected)",
    "½ ×",
    "1 ×",
    "2 ×",
    "4 ×",
    "8 ×",
    "CPU s",
)


def main() -> None:
    """Print one table; each row is kept in a file of JSON lines, too, if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problem", action="append", choices=STEPS)
    parser.add_argument("--optimizer", action="append", choices=OPTIMIZERS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fresh", type=int, default=20)
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for name in options.problem or STEPS:
        try:
            problem = wb.load_problem(name, **({} if name == "imagenet-mobilenet" else {"epochs": 0}))
        except (ImportError, ValueError) as error:
            print(f"{name} is left out: {error}")
            continue
        for optimizer in options.optimizer or OPTIMIZERS:
            try:
                row = _measure(problem, optimizer, STEPS[name], options.seeds, options.fresh)
            except ValueError as error:  # no rate survives: there is no advice
                print(f"| {name} | {optimizer} | {error} |", flush=True)
                continue
            _print(name, row)
            if options.rows:
                with options.rows.open("a") as file:
                    file.write(json.dumps({"problem": name, **row}) + "\n")


def _measure(problem: wb.Problem, optimizer: str, steps: int, seeds: int, fresh: int) -> dict:
    started = time.process_time()
    settings = {"batch_size": min(32, problem.num_examples // 2), "steps": steps, "seeds": seeds}
    cost = rate_limit_cost(problem, optimizer, **settings)
    limit = rate_limit(problem, optimizer, **settings)
    shares: RateShares = rate_shares(problem, limit, seeds=fresh)
    return {
        "optimizer": optimizer,
        **settings,
        "threshold": limit.threshold,
        "limits": limit.limits.tolist(),
        "advised": limit.advised,
        "interval": limit.interval,
        "hardly_trains": limit.hardly_trains,
        "trials": limit.trials.tolist(),
        "gradients": limit.gradients,
        "expected": cost.expected,
        "factors": shares.factors.tolist(),
        "losses": shares.losses.tolist(),
        "survived": shares.survived.tolist(),
        "fresh": fresh,
        "cpu": time.process_time() - started,
    }


def _print(name: str, row: dict) -> None:
    low, high = row["interval"]
    mark = " (hardly trains)" if row["hardly_trains"] else ""
    survived = " | ".join(f"{count}/{row['fresh']}" for count in row["survived"])
    print(
        f"| {name} | {row['optimizer']}{mark} | {row['advised']:.3g} [{low:.2g}, {high:.2g}] | "
        f"{min(row['limits']):.2g}, {max(row['limits']):.2g} | "
        f"{row['gradients']:.0f} ({row['expected']:.0f}) | {survived} | {row['cpu']:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
