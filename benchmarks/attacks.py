"""Attacks within a direct search beside NOMAD, CMA-ES, Nelder-Mead and L-BFGS-B, on equal evaluations.

Planted maxima, counterfactuals of digits, and a process behind a network, with feasible and infeasible
starts. All take one point at a time; of a step of the direct search, the points up to the first success
count. A gradient counts as 3. NOMAD has the violation as a constraint behind its progressive barrier; CMA-ES
ranks infeasible points by their violation, behind all feasible ones; Nelder-Mead refuses them; L-BFGS-B
passes through them, and only its feasible points count. The peers go anywhere on the path:

    pip install --no-deps --target DIR PyNomadBBO cma
    PYTHONPATH=.:DIR python benchmarks/attacks.py [--units 100] [--tolerance 1e-3] [--seeds 3] [--plot FILE]
"""

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import workbench as wb
from workbench.particles import attacks
from workbench.particles.attacks import Surrogate, Trail
from workbench.particles.attacks.rivals import BudgetSpent, Counted

_DELTA = 0.25  # the first step of all methods
_FAR = 1e9  # what infeasible points are worth to CMA-ES, before their violation
Peer = Callable[[Surrogate, int, int], Trail]


def nomad(surrogate: Surrogate, evaluations: int, seed: int) -> Trail:
    """NOMAD with its defaults (quadratic models, OrthoMADS n + 1), one point at a time.

    From 50 dimensions on NOMAD itself leaves out its models; its directions n + 1, which are completed by
    one, and its order of points, which is by one, then take minutes a poll: they are replaced by 2n, and by
    the last success.
    """
    import PyNomad

    counted = Counted(surrogate, evaluations)

    def blackbox(point: Any) -> int:
        x = np.array([point.get_coord(i) for i in range(point.size())])
        with contextlib.suppress(BudgetSpent):
            goal, violation = counted.goal_and_violation(x)
            point.setBBO(f"{-goal:.17g} {violation**0.5:.17g}".encode())
            return 1
        return 0

    sides = [[] if side is None else side.tolist() for side in (surrogate.lower, surrogate.upper)]
    PyNomad.optimize(
        blackbox,
        surrogate.start.tolist(),
        *sides,
        [
            "BB_OUTPUT_TYPE OBJ PB",
            f"MAX_BB_EVAL {evaluations}",
            f"INITIAL_FRAME_SIZE * {_DELTA}",
            f"SEED {seed}",
            "DISPLAY_DEGREE 0",
            *(["DIRECTION_TYPE ORTHO 2N", "EVAL_QUEUE_SORT DIR_LAST_SUCCESS"] if surrogate.dim >= 50 else []),
        ],
    )
    return counted.trail()


def cma_es(surrogate: Surrogate, evaluations: int, seed: int) -> Trail:
    """CMA-ES with its defaults, in the box, generation by generation, restarted where it has converged."""
    import cma

    counted = Counted(surrogate, evaluations)

    def cost(x: np.ndarray) -> float:
        goal, violation = counted.goal_and_violation(x)
        return -goal if violation == 0 else _FAR + violation

    bounds = [None if side is None else side.tolist() for side in (surrogate.lower, surrogate.upper)]
    with contextlib.suppress(BudgetSpent):
        for restart in range(100):
            options = {"bounds": bounds, "seed": seed + restart + 1, "verbose": -9, "maxfevals": np.inf}
            search = cma.CMAEvolutionStrategy(surrogate.start.tolist(), _DELTA, options)
            while not search.stop():
                points = search.ask()
                search.tell(points, [cost(point) for point in points])
    return counted.trail()


FAMILIES = ("planted", "process", "counterfactual")
PEERS: dict[str, tuple[str, Peer]] = {"NOMAD": ("PyNomad", nomad), "CMA-ES": ("cma", cma_es)}


def problems(seeds: int) -> dict[str, list[Surrogate]]:
    """The three families."""
    digits = wb.load_problem("digits-mlp")
    pairs = [(0, 8), (1, 3), (2, 7), (4, 0), (6, 5), (9, 2)][: 2 * seeds]
    wastes = [0.04, 0.05, 0.06][:seeds]
    return {
        "planted": [attacks.planted_maximiser(dim, seed=k) for dim in (10, 20) for k in range(seeds)],
        "process": [attacks.process_surrogate(waste=w, feasible=f) for w in wastes for f in (True, False)],
        "counterfactual": [attacks.counterfactual(digits, *pair) for pair in pairs],
    }


def present_peers() -> dict[str, Peer]:
    """Those that can be imported; says which cannot."""
    found = {}
    for name, (module, peer) in PEERS.items():
        try:
            __import__(module)
            found[name] = peer
        except ImportError as error:
            print(f"{name} is ABSENT ({error}): its line is missing below")
    return found


def main() -> None:
    """Print a table for each family, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--units", type=int, default=100, help="budget, times dim + 1")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="share of the best gain that may lack")
    parser.add_argument("--seeds", type=int, default=3, help="problems of a kind")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--plot", help="file for the picture of the data profiles")
    options = parser.parse_args()
    torch.set_num_threads(1)
    peers = present_peers()
    everything: dict[str, list[Trail]] = {}
    kinds = problems(options.seeds)
    for family in options.families:
        surrogates = kinds[family]
        trails: dict[str, list[Trail]] = {}
        seconds: dict[str, float] = {}
        for method in attacks.METHODS:
            started = time.process_time()
            trails |= attacks.method_trails(surrogates, (method,), units=options.units)
            seconds[method] = time.process_time() - started
        for name, peer in peers.items():
            started = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                trails[name] = [peer(each, options.units * (each.dim + 1), 0) for each in surrogates]
            seconds[name] = time.process_time() - started
        for method, runs in trails.items():
            everything.setdefault(method, []).extend(runs)
        table = attacks.data_profile(trails, options.tolerance).by_method()
        print(f"\n{family}, {options.units} × (dim + 1) evaluations, solved to {options.tolerance:g}")
        print(table.assign(cpu_seconds=list(seconds.values())).round(2).to_string(index=False), flush=True)
    profile = attacks.data_profile(everything, options.tolerance)
    print("\nall")
    print(profile.by_method().round(2).to_string(index=False))
    if options.plot:
        profile.plot().figure.savefig(options.plot, dpi=110)


if __name__ == "__main__":
    main()
