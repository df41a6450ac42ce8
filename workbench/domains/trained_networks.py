"""Networks that one method trained, to look at: as problems, one an environment, or by their last layers."""

import math

from torch import nn

from workbench.choices import check_choice, check_count, check_number
from workbench.domains.environments import SHIFTS, Environments, make_environments
from workbench.domains.penalties import PENALTIES, HeadState
from workbench.domains.stacked_networks import StackedNetworks
from workbench.domains.stacked_training import head_state, stacked, train_stacked
from workbench.problem import Problem
from workbench.progress import progress


def domain_problems(
    shift: str = "correlation",
    method: str = "hessian",
    *,
    weight: float = 1000.0,
    width: int = 32,
    steps: int = 200,
    seeds: int = 5,
) -> list[list[Problem]]:
    """Train a network for each seed, and return it as a problem for each environment, the test's last.

    Parameters
    ----------
    shift, method, width, steps, seeds
        As for :func:`~workbench.domains.domain_contests.compare_domains`.
    weight : float
        Of the penalty, positive; ERM has none.

    Returns
    -------
    list of list of Problem
        By seed and environment, named after the environments; layers are hidden1, hidden2, head.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, or a number is out of range.
    KeyboardInterrupt
        If the training is interrupted.
    """
    check_count("seeds", seeds)
    drawn, networks = trained_networks(
        shift, method, weight=weight, width=width, steps=steps, seeds=list(range(seeds))
    )
    loss = nn.CrossEntropyLoss()
    return [
        [
            Problem(networks.network(run), loss, examples, name=name)
            for examples, name in zip([*zip(*each.train, strict=True), each.test], each.names, strict=True)
        ]
        for run, each in enumerate(drawn)
    ]


def trained_networks(
    shift: str, method: str, *, weight: float, width: int, steps: int, seeds: list[int]
) -> tuple[list[Environments], StackedNetworks]:
    """Return the environments of all seeds, and the networks trained on them.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, or a number is out of range.
    """
    check_choice("shift", shift, SHIFTS)
    check_choice("method", method, tuple(PENALTIES))
    check_number("weight", weight, above=0, below=math.inf)
    check_count("width", width)
    check_count("steps", steps, low=0)
    drawn = [make_environments(shift, seed) for seed in seeds]
    with progress(f"networks of {method}", steps * len(seeds)) as advance:
        networks = train_stacked(method, drawn, seeds, [weight], width=width, steps=steps, advance=advance)
    return drawn, networks


def train_and_test_heads(
    drawn: list[Environments], networks: StackedNetworks, run: int
) -> tuple[HeadState, HeadState]:
    """What one network makes of its training environments (E, n, …) and of its test (1, n, …), in float64."""
    inputs, targets = drawn[run].test
    parts = (drawn[run].train, (inputs[None], targets[None]))
    states = [head_state(networks.only(run), *stacked([part])) for part in parts]
    train, test = (
        HeadState(state.features[0].double(), state.logits[0].double(), state.targets[0]) for state in states
    )
    return train, test
