"""Trainings at many rates and seeds: a Python loop over runs with torch.optim, and all as one tensor.

The same network, starts, batches and float32. The table holds CPU seconds for each run, the minimum over the
rounds; final losses of both are compared before anything is printed:

    python benchmarks/batch_size.py [--sizes 1 8 64] [--rates 16] [--seeds 4] [--steps 80] [--rounds 3]
"""

import argparse
import time

import numpy as np
import torch
from torch import Tensor

import workbench as wb
from workbench.stability.batch_size.stacked_runs import StackedRuns, batch_orders, examples_of

OPTIMIZERS = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
}
RANGES = {"sgd": (0.01, 0.3), "adam": (1e-4, 1e-2)}  # stable, so that losses can be compared


def looped(problem: wb.Problem, starts: Tensor, rates: Tensor, places: Tensor, name: str) -> list[float]:
    """Losses after each run by itself."""
    inputs, targets = examples_of(problem)
    losses = []
    for start, rate, order in zip(starts, rates.tolist(), places, strict=True):
        run = problem.at(problem.model.state_dict() | problem.as_parameters(start))
        optimizer = OPTIMIZERS[name](run.model.parameters(), rate)
        for chosen in order:
            optimizer.zero_grad()
            run.loss(run.model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
        losses.append(run.loss_at())
    return losses


def stacked(problem: wb.Problem, starts: Tensor, rates: Tensor, places: Tensor, name: str) -> list[float]:
    """The same, all runs together."""
    runs = StackedRuns(problem, starts, rates, name)
    for step in range(places.shape[1]):
        runs.step(places[:, step])
    return runs.losses().tolist()


def main() -> None:
    """Measure both in turns, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rates", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    problems = [wb.load_problem("digits-mlp", epochs=0, seed=seed) for seed in range(options.seeds)]
    starts = torch.stack([each.parameters_vector() for each in problems]).repeat(options.rates, 1)
    print(f"{len(starts)} runs of {options.steps} steps, {torch.get_num_threads()} threads, CPU ms a run")
    for name, ends in RANGES.items():
        rates = torch.from_numpy(np.geomspace(*ends, options.rates)).float().repeat_interleave(options.seeds)
        for size in options.sizes:
            orders = batch_orders(problems[0].num_examples, size, options.steps, range(options.seeds))
            work = (problems[0], starts, rates, orders.repeat(options.rates, 1, 1), name)
            seconds: dict[str, float] = {}
            losses: dict[str, list[float]] = {}
            for _ in range(options.rounds):
                for way in (looped, stacked):
                    started = time.process_time()
                    losses[way.__name__] = way(*work)
                    spent = time.process_time() - started
                    seconds[way.__name__] = min(spent, seconds.get(way.__name__, spent))
            np.testing.assert_allclose(losses["stacked"], losses["looped"], rtol=0.02)
            loop, one = (1e3 * seconds[way] / len(starts) for way in ("looped", "stacked"))
            print(f"{name:5} B = {size:3}: loop {loop:7.1f}, one tensor {one:6.2f}, {loop / one:5.1f} x")


if __name__ == "__main__":
    main()
