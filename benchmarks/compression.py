"""The figures of docs/compression.md, in its tables: what bits are off by, bounds of scales, and the codec.

Errors are held against incomplete gamma functions in 40 digits. The codec takes some six minutes on one core:

    python benchmarks/compression.py [--only likelihood bounds codec noise] [--steps 200]
"""

import argparse
import itertools

import mpmath
import numpy as np
import torch
from torch import Tensor

from workbench.compression import EntropyContest, compare_entropy_models
from workbench.kernels import generalized_gaussian_bits
from workbench.layers.scale_bounds import BOUNDS, scale_bound
from workbench.result import student_interval

Case = tuple[float, float, float]  # number, scale, shape
DISTANCES = (0, 0.03125, -0.375, 0.53125, -1.3125, 4, 30.25)
EDGES = (0, 0.25, 0.4999999, 0.5, 0.5000001, 0.51, 1, 4, 30)
SCALES = (0.125, 0.5, 2, 32)
SHAPES = (0.25, 0.625, 1, 1.5, 2, 3, 6)  # numbers of float32, too
LEAST = (0.1, 0.15, 0.2, 0.3, 0.5, 0.501, 1, 2, 6, 12, 19.9)
STEPS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)  # of differences
ROWS = [
    ("frequency", 16),
    ("region", 16),
    ("neighbours", 16),
    ("frequency", 1),
    ("region", 1),
    ("region", 64),
]
DIGITS = 40


# ---- errors of the likelihood ----------------------------------------------------------------------------


def likelihood() -> None:
    """Errors of bits and of their gradients: in ordinary places, and at the least scales that are allowed."""
    cases = [case for case in itertools.product(DISTANCES, SCALES, SHAPES) if reach(case) < 200]
    with mpmath.workdps(DIGITS):
        true = [torch.tensor([float(bits(case)) for case in cases], dtype=torch.float64)]
        true += [torch.tensor([slope(case, at) for case in cases], dtype=torch.float64) for at in range(3)]
    print(f"{len(cases)} numbers of up to {true[0].max():.0f} bits: largest / median error\n")
    row("", "bits", "gradient to y", "to α", "to β")
    row(*["---"] * 5)
    for dtype in (torch.float64, torch.float32):
        y, scale, shape = torch.tensor(cases, dtype=dtype).unbind(1)
        given = [each.requires_grad_() for each in (y, scale, shape)]
        found = generalized_gaussian_bits(y, torch.zeros_like(y), scale, shape)
        values = [found.detach(), *torch.autograd.grad(found.sum(), given)]
        row(str(dtype)[6:], *(spread(relative(*pair)) for pair in zip(values, true, strict=True)))
    near = true[0] < 20
    step, errors = min(
        ((each, relative(difference(cases, each), true[3])[near]) for each in STEPS),
        key=lambda pair: pair[1].median().item(),
    )
    row(f"central differences of `gammainc`, float32, best of {len(STEPS)} steps ({step:g}), up to 20 bits",
        "", "", "", spread(errors))  # fmt: skip
    print("\nat the tail's bound, 4 and 1000 times it, and at 1\n")
    row(
        "β", "least α", *(f"{what}, {kind}" for what in ("bits", "to y", "to α", "to β") for kind in (64, 32))
    )
    row(*["---"] * 10)
    for shape in LEAST:
        least = scale_bound(torch.tensor(float(shape), dtype=torch.float64)).item()
        scales = [each for each in (least, 4 * least, 1000 * least, 1.0) if each < 300]
        chosen = [case for case in itertools.product(EDGES, scales, [shape]) if reach(case) < 100]
        errors_of = [errors_at(chosen, dtype) for dtype in (torch.float64, torch.float32)]
        cells = (f"{errors_of[kind][what]:.0e}" for what in range(4) for kind in (0, 1))
        row(f"{shape:g}", f"{least:.2g}", *cells)


def errors_at(cases: list[Case], dtype: torch.dtype) -> list[float]:
    """Largest errors of bits and of their three gradients, of numbers as they are in this dtype."""
    y, scale, shape = torch.tensor(cases, dtype=dtype).unbind(1)
    given = [each.requires_grad_() for each in (y, scale, shape)]
    found = generalized_gaussian_bits(y, torch.zeros_like(y), scale, shape)
    values = [found.detach(), *torch.autograd.grad(found.sum(), given)]
    rounded: list[Case] = list(zip(y.tolist(), scale.tolist(), shape.tolist(), strict=True))
    with mpmath.workdps(DIGITS):
        true = [[float(bits(case)), *(slope(case, at) for at in range(3))] for case in rounded]
    columns = torch.tensor(true, dtype=torch.float64).unbind(1)
    return [relative(*pair).max().item() for pair in zip(values, columns, strict=True)]


def reach(case: Case) -> float:
    """What the exponent of the density is at the near edge of the bin."""
    y, scale, shape = case
    return (max(0, abs(y) - 0.5) / scale) ** shape


def bits(case: tuple[float, ...]) -> mpmath.mpf:
    """Bits in the digits that mpmath works with."""
    y, scale, shape = (mpmath.mpf(each) for each in case)
    half = mpmath.mpf(1) / 2
    near, far = (abs(abs(y) - half) / scale) ** shape, ((abs(y) + half) / scale) ** shape
    if abs(y) >= half:
        mass = mpmath.gammainc(1 / shape, near, far, regularized=True)
    else:
        mass = sum(mpmath.gammainc(1 / shape, 0, end, regularized=True) for end in (near, far))
    return -mpmath.log(mass / 2, 2)


def slope(case: Case, at: int) -> float:
    """Derivative of the bits in the number or the scale, by the density at both ends, or in the shape."""
    y, scale, shape = (mpmath.mpf(each) for each in case)
    if at == 2:
        return float(mpmath.diff(lambda x: bits((y, scale, x)), shape, h=mpmath.mpf(10) ** -14))
    whole = shape / (2 * scale * mpmath.gamma(1 / shape)) / mpmath.mpf(2) ** -bits(case) / mpmath.log(2)
    near, far = y - mpmath.mpf(1) / 2, y + mpmath.mpf(1) / 2
    ends = [whole * mpmath.exp(-(abs(end / scale) ** shape)) for end in (near, far)]
    return float(ends[0] - ends[1] if at == 0 else (far * ends[1] - near * ends[0]) / scale)


def difference(cases: list[Case], step: float) -> Tensor:
    """Central differences in the shape of bits by PyTorch's incomplete gamma function, in float32."""
    y, scale, shape = torch.tensor(cases, dtype=torch.float32).unbind(1)

    def by_gammainc(beta: Tensor) -> Tensor:
        ends = [
            0.5 * t.sign() * torch.special.gammainc(1 / beta, (t.abs() / scale) ** beta)
            for t in (y - 0.5, y + 0.5)
        ]
        return -(ends[1] - ends[0]).abs().log2()

    return (by_gammainc(shape + step) - by_gammainc(shape - step)) / (2 * step)


def relative(found: Tensor, true: Tensor) -> Tensor:
    """Errors, relative where the truth is above 1."""
    return (found.double() - true).abs() / true.abs().clamp(min=1)


def spread(errors: Tensor) -> str:
    """Largest and median."""
    return f"{errors.max():.0e} / {errors.median():.0e}"


# ---- bounds and the codec --------------------------------------------------------------------------------


def bounds() -> None:
    """The smallest scales."""
    shapes = torch.tensor([0.1, 0.5, 1, 2, 4], dtype=torch.float64)
    row("bound", *(f"β = {shape:g}" for shape in shapes.tolist()))
    row(*["---"] * (1 + len(shapes)))
    for kind in BOUNDS:
        row(f"`{kind}`", *(f"{value:.2g}" for value in scale_bound(shapes, kind).tolist()))


def codec(steps: int) -> None:
    """Sizes under each family, by context and weight of the region."""
    row("context, w", "gaussian, bits per pixel", "laplace saves", "shared saves", "generalized saves",
        "generalized beside laplace")  # fmt: skip
    row(*["---"] * 6)
    contests = []
    for context, weight in ROWS:
        contest = compare_entropy_models(context, weight=weight, steps=steps)
        contests.append(contest)
        cells = [percent(contest, kind) for kind in contest.kinds[1:]]
        mean, half = contest.rate("gaussian")
        beside = percent(contest, "generalized", "laplace")
        row(f"{context}, {weight}", f"{mean:.2f} ± {half:.2f}", *cells, beside)
    shapes = [contest.shapes[-1].mean() for contest in contests]
    inside, outside = contests[0].quality.mean(1)
    print(f"\ncoded sizes within {100 * max(each.overhead for each in contests):.2f}% of their estimates")
    print(f"{inside:.1f} dB inside, {outside:.1f} dB outside at w = {contests[0].weight:g}")
    print("mean shapes by row:", ", ".join(f"{each:.2f}" for each in shapes))


def noise(steps: int) -> None:
    """How much more networks that were fitted to noise cost, by the bound of their scales."""
    rounded = compare_entropy_models("region", ["generalized"], steps=steps).coded[0]
    noisy = {
        bound: compare_entropy_models(
            "region", ["generalized"], training="noise", bound=bound, steps=steps
        ).coded[0]
        for bound in BOUNDS
    }
    row("bound", "costs more than fitted to rounded numbers", "than with the tail's bound")
    row(*["---"] * 3)
    for bound, sizes in noisy.items():
        row(f"`{bound}`", *(interval(100 * (sizes / beside - 1)) for beside in (rounded, noisy["tail"])))


def percent(contest: EntropyContest, kind: str, beside: str | None = None) -> str:
    """What a family saves."""
    mean, half = contest.saving(kind, beside)
    return f"{mean:.1f} ± {half:.1f}%"


def interval(values: np.ndarray) -> str:
    """Mean over pictures, and half its 95 % interval."""
    mean, half = student_interval(values)
    return f"{mean:.1f} ± {half:.1f}%"


def row(*cells: str) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables that are asked for."""
    parts = {
        "likelihood": likelihood,
        "bounds": bounds,
        "codec": lambda: codec(options.steps),
        "noise": lambda: noise(options.steps),
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--steps", type=int, default=200, help="of each fit")
    options = parser.parse_args()
    for name in options.only:
        print(f"\n{name}\n")
        parts[name]()


if __name__ == "__main__":
    main()
