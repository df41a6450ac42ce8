"""Radii of a softmax along a line: CPU time and certificates, beside a naive root search.

No library computes these. The naive search starts Newton's method from a grid over the complex plane, sample
by sample, and has no certificate; it is run on a few samples, and says where it finds another radius.

    python benchmarks/radii.py [--samples 10000] [--naive 20]
"""

import argparse
import time

import numpy as np
import torch

from workbench.stability import logit_radius, minimum_radius


def naive_radius(z: np.ndarray, a: np.ndarray, reach: float) -> float:
    """Least distance of a zero that Newton's method finds from a grid of 41 × 21 points."""
    x, y = np.meshgrid(np.linspace(-reach, reach, 41), np.linspace(reach / 21, reach, 21))
    s = (x + 1j * y).ravel()
    with np.errstate(all="ignore"):
        for _ in range(40):
            terms = np.exp(z - z.max() + s[:, None] * a)
            step = terms.sum(1) / (terms @ a)
            s = s - step
    found = np.abs(s[np.abs(step) < 1e-9 * np.abs(s)])
    return float(found.min()) if len(found) else np.inf


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--naive", type=int, default=20, help="samples of the naive search")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"CPU seconds for {options.samples} samples, one thread; logits scale * N(0, 1), slopes N(0, 1)")
    print(f"{'classes':>8}{'scale':>7}{'majority':>10}{'exact':>8}{'certified':>11}{'minimum':>9}{'solved':>8}"
          f"{'naive':>9}{'naive differs':>15}")  # fmt: skip
    for classes in (10, 100, 1000):
        for scale in (0.0, 1.0, 5.0, 20.0):
            print(line(classes, scale, options.samples, options.naive), flush=True)


def line(classes: int, scale: float, samples: int, naive: int) -> str:
    """Measure one setting."""
    generator = torch.Generator().manual_seed(0)
    z = scale * torch.randn(samples, classes, dtype=torch.float64, generator=generator)
    a = torch.randn(samples, classes, dtype=torch.float64, generator=generator)
    times = [time.process_time()]
    logit_radius(z, a)
    times.append(time.process_time())
    exact = logit_radius(z, a, "exact")
    times.append(time.process_time())
    least = minimum_radius(z, a)
    times.append(time.process_time())
    searched = [naive_radius(z[i].numpy(), a[i].numpy(), 1.5 * exact.radius[i].item()) for i in range(naive)]
    times.append(time.process_time())
    majority, full, minimum, search = np.diff(times)
    differ = int((np.abs(np.array(searched) / exact.radius[:naive].numpy() - 1) > 1e-6).sum())
    return (
        f"{classes:8}{scale:7.0f}{majority:10.2f}{full:8.2f}{int(exact.certified.sum()):11}{minimum:9.2f}"
        f"{least.solved:8}{search * samples / naive:9.0f}{differ:9} of {naive}"
    )


if __name__ == "__main__":
    main()
