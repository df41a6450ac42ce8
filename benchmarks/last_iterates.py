"""Runs of stochastic gradient descent: a Python loop over runs, and all of them as one tensor.

The same method, noise and float32; the loop has NumPy's small arrays, one run and rule at a time, and is
timed on few runs. The table holds CPU seconds for each run and rule, the minimum over the rounds:

    python benchmarks/last_iterates.py [--runs 100000] [--loop-runs 20] [--steps 1024] [--rounds 3]

Means of both are compared before anything is printed.
"""

import argparse
import time

import numpy as np
import torch

from workbench.stability.last_iterates import SampledRuns, rule_steps, sample_runs

RULES, DIM = ("decaying", "constant", "linear"), 2


def looped(steps: list[np.ndarray], runs: int, seed: int) -> np.ndarray:
    """Gaps (rules, runs) of the last iterates on the sum of |x - 1|."""
    random = np.random.default_rng(seed)
    gaps = np.empty((len(steps), runs))
    for run in range(runs):
        for place, sizes in enumerate(steps):
            point, total, late = (np.zeros(DIM, dtype=np.float32) for _ in range(3))
            for step, size in enumerate(sizes):
                gradient = np.sign(point - 1) + random.standard_normal(DIM, dtype=np.float32)
                point = point - np.float32(size) * gradient
                total += point
                if step >= len(sizes) // 2:
                    late += point
            gaps[place, run] = np.abs(point - 1).sum()
    return gaps


def batched(count: int, runs: int, seed: int) -> SampledRuns:
    """Every rule for T steps, and for 2, since a result has two numbers of steps at least."""
    return sample_runs("absolute", RULES, horizons=(2, count), runs=runs, dim=DIM, seed=seed)


def main() -> None:
    """Measure both in turns, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--loop-runs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    slow, fast, gaps = [], [], []
    for round_ in range(options.rounds):
        started = time.process_time()
        ours = batched(options.steps, options.runs, round_)
        fast.append(time.process_time() - started)
        steps = [rule_steps(rule, options.steps, ours.base) for rule in RULES]
        started = time.process_time()
        gaps.append(looped(steps, options.loop_runs, round_))
        slow.append(time.process_time() - started)
    together = np.concatenate(gaps, axis=1)
    for place, rule in enumerate(RULES):
        mean, error = together[place].mean(), together[place].std(ddof=1) / np.sqrt(together.shape[1])
        ours_mean = ours.mean(rule)[0][-1]
        assert abs(mean - ours_mean) < 4 * error, (rule, mean, ours_mean, error)
    one, many = (
        min(each) / (size * len(RULES)) for each, size in ((slow, options.loop_runs), (fast, options.runs))
    )
    print(f"{options.steps} steps, {torch.get_num_threads()} threads; means agree within 4 standard errors")
    print(f"loop    {1e3 * one:8.3f} ms a run and rule, {options.loop_runs} runs")
    print(f"tensor  {1e3 * many:8.3f} ms a run and rule, {options.runs} runs in {min(fast):.1f} s")
    print(f"{one / many:.0f} x")


if __name__ == "__main__":
    with torch.no_grad():
        main()
