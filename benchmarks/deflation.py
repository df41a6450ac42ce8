"""What taking the outliers out first saves a spectral density: products at equal distance to the truth.

The truth is the dense spectrum of a small network. Distance is the largest difference of distribution
functions, smoothed by a thousandth of the largest eigenvalue, in the mean over seeds. Each way has for each
distance the probes and steps that are best for it, and the search for outliers counts.

    python benchmarks/deflation.py [--seeds 8]
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from curvature import trained
from scipy.special import ndtr
from sklearn.datasets import load_digits
from torch import Tensor, nn

import workbench as wb
from workbench.curvature import SpectralDensity
from workbench.curvature.krylov import explore_krylov
from workbench.curvature.operators import as_operator

PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
STEPS = (6, 10, 15, 20, 30, 40, 60, 80)
BLOCKS = (2, 3, 4, 6, 8)  # probes that share a space
OUTLIERS = 10
DISTANCES = (0.02, 0.015, 0.01, 0.0075, 0.005)

Costs = dict[tuple[int, int], tuple[float, float]]  # (probes, steps) -> products and distance, means


class Truth:
    """The distribution function of all eigenvalues, smoothed."""

    def __init__(self, matrix: Tensor) -> None:
        values = torch.linalg.eigvalsh(matrix.double()).numpy()
        self._width = 1e-3 * np.abs(values).max()
        near = self._width * np.linspace(-30, 30, 601)
        self._at = np.union1d(np.linspace(values.min() - near[-1], values.max() + near[-1], 1000), near)
        self._shares = self._smooth(values).mean(axis=1)

    def _smooth(self, values: np.ndarray) -> np.ndarray:
        return ndtr((self._at[:, None] - values) / self._width)

    def distances(self, density: SpectralDensity) -> np.ndarray:
        """Of the mean of the first 1, 2, … probes."""
        rules = zip(density.ritz_values, density.weights, strict=True)
        shares = np.array([self._smooth(nodes) @ weights for nodes, weights in rules])
        means = np.cumsum(shares, axis=0) / np.arange(1, len(shares) + 1)[:, None]
        return np.abs(means - self._shares).max(axis=1)


def small_network() -> wb.Problem:
    """Digits again, with few enough parameters for the dense matrix."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(0)
    layers = nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 10)
    task = trained(nn.Sequential(*layers), x, y, [len(x)], steps=150)
    return task.problem([len(x)])


def probe_by_probe(matrix: Tensor, truth: Truth, seeds: int, deflate: int | None) -> Costs:
    """More probes do not change the first ones, so that one run has all numbers of them."""
    costs = {}
    for steps in STEPS:
        runs = [
            wb.curvature.spectral_density(matrix, max(PROBES), steps, deflate=deflate, seed=seed)
            for seed in range(seeds)
        ]
        search = float(np.mean([run.matvecs for run in runs])) - max(PROBES) * steps
        distances = np.mean([truth.distances(run) for run in runs], axis=0)
        costs |= {(p, steps): (search + p * steps, distances[p - 1]) for p in PROBES}
    return costs


def one_space(matrix: Tensor, truth: Truth, seeds: int) -> Costs:
    """One block Krylov space whose own Ritz vectors are taken out; its ends, found later, do not count."""
    costs = {}
    for probes in BLOCKS:
        for steps in STEPS[:-2]:
            runs = [_block(matrix, probes, steps, seed) for seed in range(seeds)]
            distances = [truth.distances(run)[-1] for run in runs]
            costs[probes, steps] = float(probes * runs[0].steps), float(np.mean(distances))
    return costs


def _block(matrix: Tensor, probes: int, steps: int, seed: int) -> SpectralDensity:
    return explore_krylov(
        as_operator(matrix), OUTLIERS, probes=probes, steps=steps, tol=1e-3, seed=seed
    ).density


def best(costs: Costs, distance: float) -> tuple[float, tuple[int, int]] | None:
    """Fewest products that come as near as this, and their probes and steps."""
    near = [(products, key) for key, (products, there) in costs.items() if there <= distance]
    return min(near, default=None)


def main() -> None:
    """Print a table for the Hessian and one for the Gauss-Newton matrix."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    seeds = parser.parse_args().seeds
    makers: dict[str, Callable[..., wb.curvature.CurvatureOperator]] = {
        "Hessian": wb.curvature.hessian,
        "GGN": wb.curvature.ggn,
    }
    problem = small_network()
    for name, make in makers.items():
        matrix = make(problem).dense()
        matrix = (matrix + matrix.T) / 2
        truth = Truth(matrix)
        plain = probe_by_probe(matrix, truth, seeds, None)
        ways = {
            f"{OUTLIERS} outliers searched first": probe_by_probe(matrix, truth, seeds, OUTLIERS),
            "one space": one_space(matrix, truth, seeds),
        }
        print(f"\n### {name}, {len(matrix)} parameters, {seeds} seeds\n")
        print("| distance | way | products | probes × steps | gain |\n| ---: | --- | ---: | ---: | ---: |")
        for distance in DISTANCES:
            base = best(plain, distance)
            for way, costs in {"plain": plain, **ways}.items():
                found = best(costs, distance)
                if found is None or base is None:
                    print(f"| {distance} | {way} | not reached | | |")
                    continue
                products, (probes, steps) = found
                gain = base[0] / products
                print(
                    f"| {distance} | {way} | {products:.0f} | {probes} × {steps} | {gain:.2f} |", flush=True
                )


if __name__ == "__main__":
    main()
