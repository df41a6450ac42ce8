"""Does advice on learning rates hold? Fresh runs at multiples of the advised limit, for built-in problems.

Networks are at their initialisation. A run survives if its loss over all the data ends under that of the best
constant output; half of the advised rate should survive in 19 of 20 fresh runs, and 8 times it in few.

    python benchmarks/rate_advice.py [--problem NAME ...] [--steps 100] [--seeds 5] [--fresh 20]
"""

import argparse
import time

import torch

import workbench as wb
from workbench.stability.rate_advice import rate_limit, rate_shares

PROBLEMS = ("digits-mlp", "digits-cnn", "digits-transformer", "diabetes-mlp", "faces-cnn", "text-gpt")
OPTIMIZERS = ("sgd", "momentum", "adam")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problem", action="append", choices=PROBLEMS)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fresh", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = (
        "problem",
        "optimizer",
        "limit",
        "seeds",
        "gradients",
        "½ ×",
        "1 ×",
        "2 ×",
        "4 ×",
        "8 ×",
        "CPU s",
    )
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for name in options.problem or PROBLEMS:
        problem = wb.load_problem(name, epochs=0)
        for optimizer in OPTIMIZERS:
            started = time.process_time()
            limit = rate_limit(
                problem, optimizer, batch_size=options.batch, steps=options.steps, seeds=options.seeds
            )
            shares = rate_shares(problem, limit, seeds=options.fresh)
            low, high = limit.interval
            mark = " (hardly trains)" if limit.hardly_trains else ""
            survived = " | ".join(f"{count}/{options.fresh}" for count in shares.survived)
            print(
                f"| {name} | {optimizer}{mark} | {limit.advised:.3g} [{low:.2g}, {high:.2g}] | "
                f"{limit.limits.min():.2g}, {limit.limits.max():.2g} | {limit.gradients:.0f} | {survived} | "
                f"{time.process_time() - started:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
