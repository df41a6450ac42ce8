"""Steps of consensus-based optimisation: ours, compiled and by PyTorch, beside CBXpy in the same process.

Rounds are interleaved, so that a busy machine is busy for all. Reported are the least wall time on the
threads asked for and the least CPU time on one thread, in ns per run, particle, dimension and step, on
Ackley's function with anisotropic noise, the best point and the effective sample size kept. CBXpy is measured
where it can be imported, e.g. from ``pip install --no-deps --target PEERS cbx`` with ``PYTHONPATH=PEERS``;
evotorch has no consensus-based optimisation and stands for a population of the same size (SNES); its import
takes more: ``pip install --no-deps --target PEERS evotorch ray msgpack protobuf gymnasium
farama-notifications cloudpickle``.

    python benchmarks/particles.py [--threads 2] [--rounds 15] [--draws 1e8] [--largest 1e7] [--plot cost.png]
"""

import argparse
import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.special import ndtri

from workbench.kernels.counter_normals import inverse_normal
from workbench.particles import ackley, consensus
from workbench.particles.compiled.engine import CompiledEngine, MovingEngine
from workbench.particles.compiled.noise import TILE, fill_runs, fill_words
from workbench.particles.compiled.threads import share_out
from workbench.particles.dynamics import Law, State, TorchEngine
from workbench.particles.noise import normals, split_seed

SHAPES = [(1, 100, 20), (1, 1000, 20), (100, 1000, 20), (1, 1000, 100), (16, 1000, 100), (1, 1000, 1000)]
LAW = Law("anisotropic", 1.0, 0.01)
ALPHA, SIGMA = 30.0, 5.0
Contender = Callable[[int], object]


def main() -> None:
    """Print all sections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--draws", type=float, default=1e8, help="normals that the generator is tested on")
    parser.add_argument("--largest", type=float, default=1e7, help="numbers of the largest swarm")
    parser.add_argument("--plot", help="file for the picture of cost against size")
    options = parser.parse_args()
    parity()
    generator_speed(options.threads, options.rounds)
    table(options.threads, options.rounds)
    scaling(int(options.largest), options.threads, options.rounds, options.plot)
    generator_quality(int(options.draws))


# ---- speed -----------------------------------------------------------------------------------------------


def table(threads: int, rounds: int) -> None:
    """Cost of a step by each contender, and the speed-up by threads beside that of pure computing."""
    print(f"\nns per run, particle, dimension and step: wall on {threads} threads [CPU on one]")
    for shape in SHAPES:
        steps = max(2, min(100, int(1e6 / np.prod(shape))))
        found = measure(contenders(shape), steps, threads, rounds)
        size = float(np.prod(shape))
        ours = found["compiled"]
        print(f"R, N, d = {shape}")
        for name, (wall, cpu, _) in found.items():
            ratio = "" if name == "compiled" else f"   {wall / ours[0]:6.1f} x [{cpu / ours[1]:.1f} x]"
            print(f"  {name:30}{1e9 * wall / size:9.2f} [{1e9 * cpu / size:7.2f}]{ratio}", flush=True)
        print(f"  compiled, µs a step            {1e6 * ours[0]:8.1f} [{1e6 * ours[1]:7.1f}]")
        control = measure({"control": computing(shape)}, steps, threads, rounds)["control"]
        print(
            f"  one thread over {threads}: compiled {ours[2] / ours[0]:.2f}, pure computing "
            f"{control[2] / control[0]:.2f}"
        )


def contenders(shape: tuple[int, int, int]) -> dict[str, Contender]:
    """What can be measured here; each takes a number of steps."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 6 - 3
    found: dict[str, Contender] = {
        "compiled": steps_of(CompiledEngine(ackley(), LAW, 0), x),
        "moves compiled, f by PyTorch": steps_of(MovingEngine(ackley(), LAW, 0), x),
        "all by PyTorch": steps_of(TorchEngine(ackley(), LAW, 0), x),
    }
    if importlib.util.find_spec("cbx") is None:
        print("  CBXpy is absent: pip install --no-deps --target PEERS cbx, then PYTHONPATH=PEERS")
    else:
        found |= {"CBXpy 3D float64": cbx_numpy(x), "CBXpy on torch float32": cbx_torch(x)}
    evolution = evotorch_step(shape)
    if evolution is not None:
        found["evotorch SNES (not CBO)"] = evolution
    return found


def steps_of(engine: MovingEngine | TorchEngine, x: torch.Tensor) -> Contender:
    """Steps of one of our engines from a uniform start."""
    state = State.at(x, tuple(range(len(x))), False)
    state = state.see(engine.evaluate(x))
    return lambda steps: engine.advance(state, [ALPHA] * steps, [SIGMA] * steps)


def cbx_numpy(x: torch.Tensor) -> Contender:
    """CBXpy with a vectorised objective."""
    dynamics = importlib.import_module("cbx.dynamics")
    runs = dynamics.CBO(ackley_numpy, x=x.double().numpy(), f_dim="3D", **_cbx_options())
    return lambda steps: [runs.step() for _ in range(steps)]


def cbx_torch(x: torch.Tensor) -> Contender:
    """CBXpy's wrapper for torch."""
    dynamics = importlib.import_module("cbx.dynamics")
    wrapper = importlib.import_module("cbx.utils.torch_utils")
    runs = wrapper.to_torch_dynamic(dynamics.CBO)(ackley(), x=x.clone(), f_dim="3D", **_cbx_options())
    return lambda steps: [runs.step() for _ in range(steps)]


def _cbx_options() -> dict[str, Any]:
    return {
        "alpha": ALPHA, "sigma": SIGMA, "lamda": LAW.lam, "dt": LAW.dt, "noise": "anisotropic",
        "verbosity": 0, "max_it": 10**9, "track_args": {"names": []},
    }  # fmt: skip


def evotorch_step(shape: tuple[int, int, int]) -> Contender | None:
    """A generation of evotorch's SNES with as many points, of one run; None where it cannot be imported."""
    if shape[0] > 1:
        return None
    try:
        evotorch = importlib.import_module("evotorch")
        algorithms = importlib.import_module("evotorch.algorithms")
    except ImportError as error:
        print(f"  evotorch is absent: {error}")
        return None
    landscape = ackley()
    # a function of its own: evotorch marks what it is given, which a landscape does not allow
    marked = evotorch.decorators.vectorized(lambda points: landscape(points))
    problem = evotorch.Problem("min", marked, solution_length=shape[2], initial_bounds=(-3, 3))
    search = algorithms.SNES(problem, stdev_init=1.0, popsize=shape[1])
    return lambda steps: [search.step() for _ in range(steps)]


def computing(shape: tuple[int, int, int]) -> Contender:
    """Random words from registers and the first-level cache, in as many numbers: nothing but arithmetic."""
    tiles = max(2, int(4 * np.prod(shape)) // (2 * TILE))

    def work(first: int, last: int) -> None:
        words = np.empty(2 * TILE, np.uint32)
        for tile in range(first, last, 64):
            _words(tile, min(tile + 64, last), words)

    return lambda steps: [share_out(tiles, work) for _ in range(steps)]


def _words(first: int, last: int, words: np.ndarray) -> None:
    for tile in range(first, last):
        fill_words(np.uint32(1), np.uint32(2), tile * TILE, TILE, words)


def measure(
    candidates: dict[str, Contender], steps: int, threads: int, rounds: int
) -> dict[str, tuple[float, float, float]]:
    """Least seconds of a step: wall on the threads, CPU on one, wall on one; contenders take turns."""
    seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, work in candidates.items():
            torch.set_num_threads(threads)
            wall, _ = _time(work, steps)
            torch.set_num_threads(1)
            seconds[name].append((wall, *reversed(_time(work, steps))))
    # The first round compiles and warms up.
    return {name: tuple(np.min(each[1:], axis=0) / steps) for name, each in seconds.items()}


def _time(work: Contender, steps: int) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work(steps)
    return time.perf_counter() - wall, time.process_time() - cpu


def generator_speed(threads: int, rounds: int) -> None:
    """Cost of a normal draw, ours and PyTorch's."""
    out = torch.empty(10, 1000, 100)
    runs = np.arange(10, dtype=np.uint32)

    def fill(step: int) -> None:
        share_out(10, lambda first, last: fill_runs(*split_seed(0), runs, step, first, last, out.numpy()))

    found = measure(
        {
            "ours": lambda steps: [fill(k) for k in range(steps)],
            "normal_": lambda steps: [out.normal_() for _ in range(steps)],
        },
        5,
        threads,
        rounds,
    )
    print(f"\nns a normal draw, 10^6 at once: wall on {threads} threads [CPU on one]")
    for name, (wall, cpu, _) in found.items():
        print(f"  {name:10}{1e3 * wall:6.2f} [{1e3 * cpu:5.2f}]")


def scaling(largest: int, threads: int, rounds: int, plot: str | None) -> None:
    """Cost of a step against the number of runs x particles x dimension, and its slope in logarithms."""
    sizes = [int(largest / 10 ** (k / 2)) for k in range(9)][::-1]
    cells = {size: (max(1, size // 20_000), min(1000, size // 20), 20) for size in sizes}
    found = {}
    for shape in cells.values():
        steps = max(1, min(100, int(1e6 / np.prod(shape))))
        engine = steps_of(CompiledEngine(ackley(), LAW, 0), torch.rand(shape) * 6 - 3)
        found[int(np.prod(shape))] = measure({"ours": engine}, steps, threads, max(3, rounds // 3))["ours"]
    numbers = np.array(list(found))
    cpu = np.array([each[1] for each in found.values()])
    slope = np.polyfit(np.log(numbers[numbers >= 1e4]), np.log(cpu[numbers >= 1e4]), 1)[0]
    print(f"\nsize, CPU ms a step on one thread, ns each; log-log slope from 10^4 on: {slope:.3f}")
    for number, seconds in zip(numbers, cpu, strict=True):
        print(f"  {number:10} {1e3 * seconds:9.3f} {1e9 * seconds / number:6.2f}")
    if plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        ax = figure.subplots()
        ax.loglog(numbers, cpu, "o-", label="one step, CPU time on one thread")
        ax.loglog(numbers, cpu[-1] * numbers / numbers[-1], "--", color="0.4", label="linear")
        ax.set_xlabel("runs × particles × dimension")
        ax.set_ylabel("seconds a step")
        ax.legend()
        figure.savefig(plot)


# ---- truth -----------------------------------------------------------------------------------------------


def ackley_numpy(x: np.ndarray) -> np.ndarray:
    """Ackley's function in NumPy."""
    bowl = -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2, axis=-1)))
    return bowl - np.exp(np.mean(np.cos(2 * np.pi * x), axis=-1)) + 20 + np.e


def parity(steps: int = 10) -> None:
    """The largest relative difference from CBXpy in float64 after some steps with the same noise."""
    if importlib.util.find_spec("cbx") is None:
        print("CBXpy is absent: no parity to show")
        return
    dynamics = importlib.import_module("cbx.dynamics")
    x = np.random.default_rng(0).uniform(-3, 3, (3, 100, 20))
    z = np.random.default_rng(1).standard_normal((steps, 3, 100, 20))
    for kind in ("anisotropic", "isotropic"):

        def noise(run: Any, kind: str = kind) -> np.ndarray:
            size = (
                np.abs(run.drift) if kind == "anisotropic" else np.linalg.norm(run.drift, axis=-1)[..., None]
            )
            return np.sqrt(run.dt) * size * z[run.it]

        theirs = dynamics.CBO(ackley_numpy, x=x.copy(), f_dim="3D", **_cbx_options() | {"noise": noise})
        theirs.sigma = 0.7
        for _ in range(steps):
            theirs.step()
        ours = consensus(
            ackley(), 100, 20, 3, steps, kind=kind, alpha=ALPHA, sigma=0.7, start=torch.from_numpy(x),
            dtype=torch.float64, noise=lambda step: torch.from_numpy(z[step]),
        )  # fmt: skip
        apart = np.abs(ours.particles.numpy() - theirs.x).max() / np.abs(theirs.x).max()
        print(
            f"parity with CBXpy, float64, {kind}, {steps} steps of given noise: {apart:.1e} (allowed 1e-12)"
        )
        assert apart < 1e-12


def generator_quality(draws: int) -> None:
    """Moments, tails, neighbours and streams of many draws, in standard errors of the normal law."""
    signed = torch.arange(-(2**31), 2**31, 1021)
    signed = torch.cat([signed, torch.arange(10**6) - 2**31, 2**31 - 1 - torch.arange(10**6)])
    quantile = (signed.double() + 0.5).numpy() / 2**32
    truth = np.where(quantile < 0, ndtri(0.5 + quantile), -ndtri(0.5 - quantile))
    error = np.abs(inverse_normal(signed.int()).double().numpy() - truth).max()
    print(f"\nerror of the quantile over {len(signed)} words: {error:.2e}; largest draw {truth.max():.3f}")
    powers, levels = (1, 2, 3, 4, 6, 8), (1.0, 2.0, 3.0, 4.0, 5.0)
    sums, beyond, largest = dict.fromkeys(powers, 0.0), dict.fromkeys(levels, 0), 0.0
    lags = dict.fromkeys(("next dimension", "next particle", "half a block on", "next step", "next run"), 0.0)
    counts = dict.fromkeys(lags, 0)
    chunk, done, before = (4, 1000, 500), 0, None
    for step in range(max(1, draws // int(np.prod(chunk)))):
        z = normals(11, range(4), step, *chunk[1:]).double()
        done += z.numel()
        largest = max(largest, z.abs().max().item())
        for power in powers:
            sums[power] += (z**power).sum().item()
        for level in levels:
            beyond[level] += int((z.abs() > level).sum())
        pairs = {
            "next dimension": (z[..., 1:], z[..., :-1]),
            "next particle": (z[:, 1:], z[:, :-1]),
            "half a block on": (z[:, 32:], z[:, :-32]),
            "next run": (z[1:], z[:-1]),
            **({} if before is None else {"next step": (z, before)}),
        }
        for name, (one, other) in pairs.items():
            lags[name] += (one * other).sum().item()
            counts[name] += one.numel()
        before = z
    moment = {k: 0.0 if k % 2 else float(np.prod(np.arange(k - 1, 0, -2))) for k in (*powers, 12, 16)}
    moment |= {k: float(np.prod(np.arange(k - 1, 0, -2))) for k in (2, 4, 6, 8, 12, 16)}
    print(f"{done} draws, deviations in standard errors:")
    worst = 0.0
    for power in powers:
        off = (sums[power] / done - moment[power]) / ((moment[2 * power] - moment[power] ** 2) / done) ** 0.5
        worst = max(worst, abs(off))
        print(f"  moment {power}: {off:+.2f}")
    for level in levels:
        share = 2 * stats.norm.sf(level)
        off = (beyond[level] - share * done) / (share * (1 - share) * done) ** 0.5
        worst = max(worst, abs(off))
        print(f"  beyond {level:g} deviations: {off:+.2f} ({beyond[level]} draws)")
    for name, total in lags.items():
        off = total / max(1, counts[name]) ** 0.5
        worst = max(worst, abs(off))
        print(f"  correlation with the {name}: {off:+.2f}")
    print(f"  largest {largest:.3f}; worst deviation {worst:.2f} (allowed 4.5)")
    assert worst < 4.5


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main()
