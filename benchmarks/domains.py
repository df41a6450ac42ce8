"""Trainings of all seeds: a Python loop over networks, and all of them as one stack of matrices.

The same starts, examples, penalty (that of the diagonals, in closed form) and optimiser in both; the loop has
``nn.Module`` and ``torch.optim``, one network at a time. The table holds CPU milliseconds of a step and run,
the minimum over the rounds:

    python benchmarks/domains.py [--shift label] [--method hessian] [--seeds 20] [--steps 40] [--rounds 3]

The networks of both are compared before anything is printed.
"""

import argparse
import time

import torch
from torch import nn

from workbench.domains.environments import SHIFTS, Environments, make_environments
from workbench.domains.heads import with_ones
from workbench.domains.penalties import PENALTIES, HeadState
from workbench.domains.stacked_networks import start_networks
from workbench.domains.stacked_training import DECAY, RATE, train_stacked

WIDTH = 32


def looped(method: str, drawn: list[Environments], steps: int) -> list[nn.Sequential]:
    """Train one network after the other, with a weight of 1."""
    networks = []
    for seed, each in enumerate(drawn):
        inputs, targets = each.train
        network = start_networks((inputs.shape[-1], WIDTH, WIDTH, each.classes), [seed]).network(0)
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        for _ in range(steps):
            features = network[:-1](inputs)
            state = HeadState(with_ones(features), network.head(features), targets)
            norms = sum(parameter.square().sum() for parameter in network.parameters())
            loss = state.risks().mean() + DECAY * norms + PENALTIES[method](state)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        networks.append(network)
    return networks


def main() -> None:
    """Measure both in turns, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shift", choices=SHIFTS, default="label")
    parser.add_argument("--method", choices=tuple(PENALTIES), default="hessian")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    seeds = list(range(options.seeds))
    drawn = [make_environments(options.shift, seed) for seed in seeds]
    slow, fast = [], []
    for _ in range(options.rounds):
        started = time.process_time()
        ours = train_stacked(options.method, drawn, seeds, [1.0], width=WIDTH, steps=options.steps)
        fast.append(time.process_time() - started)
        started = time.process_time()
        theirs = looped(options.method, drawn, options.steps)
        slow.append(time.process_time() - started)
    for run, network in enumerate(theirs):
        for mine, other in zip(ours.network(run).parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(mine, other, atol=1e-3, rtol=1e-2)
    one, many = (1e3 * min(each) / (options.seeds * options.steps) for each in (slow, fast))
    print(f"{options.shift} shift, {options.method}, {options.seeds} seeds, {options.steps} steps", end=", ")
    print(f"{drawn[0].train[1].numel()} examples, {torch.get_num_threads()} threads; networks agree")
    print(f"loop   {one:8.3f} ms a step and run")
    print(f"stack  {many:8.3f} ms a step and run")
    print(f"{one / many:.2f} x")


if __name__ == "__main__":
    main()
