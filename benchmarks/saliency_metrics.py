"""Metrics of saliency maps: ours and Quantus', the same work in one process, equal results asserted.

Batches of 32 digits, a map by the gradient, one thread. Figures are medians of CPU time over interleaved
rounds. Pixel flipping is shown for a small network, where what surrounds the forward passes costs most of the
time, and for a large one, where the forward passes are nearly all: the column *forward* is the network alone
on all flipped images, which bounds whoever evaluates them all. Only the small one can tell two of them
apart. We leave out those images in which no pixel changes its value, which Quantus makes: the background of
digits is empty. Quantus is no dependency: if it is absent, our times stand alone and nothing is compared.

    pip install --no-deps --target PEERS quantus==0.6.0 cachetools opencv-python-headless
    PYTHONPATH=PEERS python benchmarks/saliency_metrics.py [--rounds 7] [--batch 32]
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from curvature import optional
from torch import Tensor, nn
from torch.nn import functional as F

import workbench as wb
from workbench.problems.datasets import digits
from workbench.random_vectors import generator
from workbench.saliency import evidence

GATE = 5.0  # times faster at pixel flipping on the small network
PERCENTAGES = (10, 30, 50, 70, 90)
DRAWS, RADIUS = 10, 0.1


@dataclass
class Task:
    """A network, images, their classes and maps, and how large they are."""

    name: str
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    maps: Tensor


@dataclass
class Comparison:
    """One metric by both; each returns an array, which must agree within ``tolerance``."""

    name: str
    task: Task
    ours: Callable[[], np.ndarray]
    theirs: Callable[[Any], np.ndarray]
    tolerance: float
    forward: Callable[[], object] | None = None  # the network alone, on as many images


def gradient_map(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Sum of the gradient over the channels; the same function makes the maps for both."""
    x = inputs.detach().requires_grad_()
    with torch.enable_grad():
        score = model(x).gather(1, targets[:, None]).sum()
    return torch.autograd.grad(score, x)[0].sum(1)


def small(batch: int) -> Task:
    """The built-in network of 8 × 8 digits."""
    model = wb.load_problem("digits-cnn", epochs=3).model
    images, labels = digits().train
    inputs, targets = images[:batch], labels[:batch]
    return Task("8 × 8", model, inputs, targets, gradient_map(model, inputs, targets))


def large(batch: int) -> Task:
    """Six convolutions on the digits at 32 × 32."""
    inputs = F.interpolate(small(batch).inputs, (32, 32), mode="bilinear")
    torch.manual_seed(0)
    widths = [(1, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    layers = [layer for a, b, stride in widths for layer in (nn.Conv2d(a, b, 3, stride, 1), nn.ReLU())]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()
    targets = torch.arange(batch) % 10
    return Task("32 × 32", model, inputs, targets, gradient_map(model, inputs, targets))


def call(task: Task, metric: Any, **options: Any) -> np.ndarray:
    """Run a metric of Quantus' on the whole batch."""
    return np.array(
        metric(
            model=task.model, x_batch=task.inputs.numpy(), y_batch=task.targets.numpy(),
            a_batch=task.maps[:, None].numpy().copy(), channel_first=True, batch_size=len(task.inputs),
            **options,
        )
    )  # fmt: skip


def pixel_flipping(task: Task, per_step: int) -> Comparison:
    """Probability after each flip of so many pixels to the smallest value of the image."""
    steps = task.maps[0].numel() // per_step
    black = task.inputs.amin((1, 2, 3), keepdim=True)

    def ours() -> np.ndarray:
        found = evidence.deletion(
            task.model, task.inputs, task.targets, task.maps, steps=steps, baseline=black
        )
        assert found.curves is not None
        return found.curves[:, 1:]  # theirs begins after the first flip

    def theirs(quantus: Any) -> np.ndarray:
        metric = quantus.PixelFlipping(features_in_step=per_step, normalise=False, disable_warnings=True)
        return call(task, metric)

    def forward() -> None:
        with torch.no_grad():
            for _ in range(steps):
                task.model(task.inputs)

    return Comparison(f"pixel flipping, {steps} steps", task, ours, theirs, 1e-5, forward)


def road(task: Task) -> Comparison:
    """Accuracy at each percentage, without noise, which is drawn differently."""

    def ours() -> np.ndarray:
        found = evidence.road(
            task.model, task.inputs, task.targets, task.maps, percentages=PERCENTAGES, noise=0
        )
        assert found.curves is not None
        return found.curves.mean(0)

    def theirs(quantus: Any) -> np.ndarray:
        metric = quantus.ROAD(list(PERCENTAGES), noise=0.0, normalise=False, disable_warnings=True)
        call(task, metric)
        return np.array(list(metric.evaluation_scores.values()))

    return Comparison(f"ROAD, {len(PERCENTAGES)} percentages", task, ours, theirs, 1e-12)


def infidelity(task: Task, side: int = 4) -> Comparison:
    """Error over squares that are set to the smallest value one after the other, as theirs stay set."""
    height, width = task.inputs.shape[2:]
    black = task.inputs.amin((1, 2, 3), keepdim=True)
    gone = torch.zeros(height // side * (width // side), 1, height, width, dtype=torch.bool)
    for place, (y, x) in enumerate((y, x) for y in range(0, height, side) for x in range(0, width, side)):
        gone[place:, :, y : y + side, x : x + side] = True

    def ours() -> np.ndarray:
        taken = (task.inputs - black)[:, None] * gone
        return evidence.infidelity(
            task.model, task.inputs, task.targets, task.maps, perturbation=taken, scaled=False
        ).values

    def theirs(quantus: Any) -> np.ndarray:
        metric = quantus.Infidelity(
            perturb_patch_sizes=[side], n_perturb_samples=1, normalise=False, disable_warnings=True
        )
        return call(task, metric, softmax=False)

    return Comparison(f"infidelity, {len(gone)} squares", task, ours, theirs, 1e-3)


def max_sensitivity(task: Task) -> Comparison:
    """Largest relative change of the map over the same draws."""
    random = generator(0)
    drawn = torch.empty(len(task.inputs), DRAWS, *task.inputs.shape[1:])
    for each in drawn.flatten(0, 1):
        each.uniform_(-1, 1, generator=random)
    noise = RADIUS * drawn.numpy()

    def ours() -> np.ndarray:
        return evidence.max_sensitivity(
            task.model, task.inputs, task.targets, gradient_map, radius=RADIUS, draws=DRAWS
        ).values

    def theirs(quantus: Any) -> np.ndarray:
        number = iter(range(DRAWS))

        def perturb(arr: np.ndarray, **options: Any) -> np.ndarray:
            return arr + noise[:, next(number)].reshape(arr.shape)

        def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **options: Any) -> np.ndarray:
            return gradient_map(model, torch.as_tensor(inputs), torch.as_tensor(targets)).numpy()[:, None]

        metric = quantus.MaxSensitivity(nr_samples=DRAWS, perturb_func=perturb, disable_warnings=True)
        return call(task, metric, explain_func=explain)

    return Comparison(f"max-sensitivity, {DRAWS} draws", task, ours, theirs, 1e-4)


def sparseness(task: Task) -> Comparison:
    """Gini index; theirs adds 1e-7 to every value."""

    def theirs(quantus: Any) -> np.ndarray:
        return call(task, quantus.Sparseness(disable_warnings=True))

    return Comparison("sparseness", task, lambda: evidence.sparseness(task.maps).values, theirs, 1e-5)


def pointing(task: Task) -> Comparison:
    """Hits on the middle of the image, without tolerance."""
    masks = torch.zeros(task.maps.shape, dtype=torch.bool)
    masks[:, 2:6, 3:5] = True

    def ours() -> np.ndarray:
        return evidence.pointing_game(task.maps, masks, tolerance=0).values

    def theirs(quantus: Any) -> np.ndarray:
        metric = quantus.PointingGame(abs=False, normalise=False, disable_warnings=True)
        return call(task, metric, s_batch=masks[:, None].numpy())

    return Comparison("pointing game", task, ours, theirs, 0)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    quantus = optional("quantus")
    if quantus is None:
        print("Quantus is ABSENT: our times stand alone, nothing is compared")
    first, second = small(options.batch), large(options.batch)
    table = [pixel_flipping(first, 1), road(first), infidelity(first), max_sensitivity(first),
             sparseness(first), pointing(first), pixel_flipping(second, 16), road(second)]  # fmt: skip
    print(f"batch {options.batch}, medians of CPU time over {options.rounds} interleaved rounds, one thread")
    print(f"{'metric':<32}{'images':>9}{'forward, ms':>13}{'ours, ms':>11}{'Quantus, ms':>13}{'ratio':>8}"
          f"{'difference':>12}")  # fmt: skip
    ratios = [show(each, quantus, options.rounds) for each in table]
    if quantus is not None:
        verdict = "met" if ratios[0] >= GATE else "NOT met"
        print(f"pixel flipping at 8 × 8 at least {GATE:g} times faster: {verdict}")


def show(comparison: Comparison, quantus: Any, rounds: int) -> float:
    """Measure one metric, print its line and return the ratio (nan without the peer)."""
    works: dict[str, Callable[[], Any]] = {"ours": comparison.ours}
    difference = np.nan
    if quantus is not None:
        works["theirs"] = lambda: comparison.theirs(quantus)
        ours, theirs = comparison.ours(), comparison.theirs(quantus)
        difference = float(np.abs(ours - theirs).max())
        assert difference <= comparison.tolerance, f"{comparison.name}: results differ by {difference:.2g}"
    if comparison.forward is not None:
        works["forward"] = comparison.forward
    times = medians(works, rounds)
    mine, others = 1e3 * times["ours"], 1e3 * times.get("theirs", np.nan)
    alone = f"{1e3 * times['forward']:.2f}" if "forward" in times else "-"
    print(f"{comparison.name:<32}{comparison.task.name:>9}{alone:>13}{mine:11.2f}{others:13.2f}"
          f"{others / mine:8.1f}{difference:12.1e}", flush=True)  # fmt: skip
    return others / mine


def medians(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median CPU time in seconds of each work; each runs once per round, at first unmeasured."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(1 + rounds):
        for name, work in works.items():
            started = time.process_time()
            work()
            if turn:
                times[name].append(time.process_time() - started)
    return {name: statistics.median(each) for name, each in times.items()}


if __name__ == "__main__":
    main()
