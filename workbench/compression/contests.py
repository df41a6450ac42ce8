"""``compare_entropy_models``: bits of the same symbols under four families of distributions."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from workbench.choices import check_choice, check_count, check_number
from workbench.colors import BLUE, GREEN, ORANGE, VERMILION
from workbench.compression.block_symbols import BlockSymbols, quality, quantise, reconstruct
from workbench.compression.contexts import CONTEXTS, context_cells
from workbench.compression.entropy_network import KINDS, Sample, fit_network
from workbench.compression.range_coding import decode, encode
from workbench.compression.roi_pictures import BOXED, roi_pictures
from workbench.layers.scale_bounds import BOUNDS
from workbench.progress import progress
from workbench.result import Result, new_axes, student_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = dict(zip(KINDS, (BLUE, ORANGE, GREEN, VERMILION), strict=True))
TRAININGS = ("rounding", "noise")
_NOISY = 8192  # numbers of a sample with noise


@dataclasses.dataclass(frozen=True, repr=False)
class EntropyContest(Result):
    """Sizes of pictures under several families of distributions, at the same distortion.

    Attributes
    ----------
    kinds : tuple of str
        Families; the first is what the others are compared with.
    pictures : tuple of str
        Each coded by networks that were fitted to the others.
    estimated, coded : ndarray (kinds, pictures)
        Bits that the distributions promise, and bits that the range coder wrote, both with a header.
    shapes : ndarray (kinds, pictures)
        Mean shape β over the picture's symbols.
    quality : ndarray (2, pictures)
        Peak signal-to-noise ratio in decibels inside and outside the region of interest: the same for all.
    pixels : int
        Of a picture.
    context, training, bound : str
        What the distributions depend on, what they were fitted to, and how scales are bounded.
    weight, step : float
        Of squared errors inside the region of interest, and step of the quantiser there.
    steps, seed : int
        Of the fits.
    interrupted : bool
        Whether there are fewer pictures than were asked for.
    """

    kinds: tuple[str, ...]
    pictures: tuple[str, ...]
    estimated: np.ndarray
    coded: np.ndarray
    shapes: np.ndarray
    quality: np.ndarray
    pixels: int
    context: str
    training: str
    bound: str
    weight: float
    step: float
    steps: int
    seed: int
    interrupted: bool = False

    def rate(self, kind: str) -> tuple[float, float]:
        """Coded bits per pixel: mean over the pictures, and half the width of its 95 % interval."""
        return student_interval(self._of(kind) / self.pixels)

    def saving(self, kind: str, beside: str | None = None) -> tuple[float, float]:
        """Percent of coded bits that a family saves beside another, picture by picture, with its interval."""
        return student_interval(100 * (1 - self._of(kind) / self._of(beside or self.kinds[0])))

    @property
    def overhead(self) -> float:
        """Largest relative difference of a coded size to its estimate."""
        return float(np.abs(self.coded / self.estimated - 1).max())

    def frame(self) -> pd.DataFrame:
        """One row per family and picture."""
        rows = []
        for place, kind in enumerate(self.kinds):
            for number, picture in enumerate(self.pictures):
                rows.append(
                    {
                        "kind": kind,
                        "picture": picture,
                        "estimated_bpp": self.estimated[place, number] / self.pixels,
                        "coded_bpp": self.coded[place, number] / self.pixels,
                        "mean_shape": self.shapes[place, number],
                        "psnr_inside": self.quality[0, number],
                        "psnr_outside": self.quality[1, number],
                    }
                )
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Percent saved beside the first family: pictures as points, means with 95 % intervals."""
        ax = new_axes(ax)
        for place, kind in enumerate(self.kinds[1:]):
            values = 100 * (1 - self._of(kind) / self._of(self.kinds[0]))
            mean, half = student_interval(values)
            ax.plot(np.full(len(values), place), values, ".", color=COLORS[kind], alpha=0.5)
            ax.errorbar(place, mean, half, fmt="o", color=COLORS[kind], capsize=4)
        ax.axhline(0, color="0.5", linewidth=1)
        ax.set_xticks(range(len(self.kinds) - 1), self.kinds[1:])
        ax.set_ylabel(f"bits saved beside {self.kinds[0]} (%)")
        ax.set_title(f"{self._what()}, 95 % intervals", fontsize="small")
        return ax

    def summary(self) -> str:
        """Rates and savings of each family, distortion, and how far coded sizes are from estimates."""
        lines = []
        for kind in self.kinds:
            mean, half = self.rate(kind)
            line = f"{kind}: {mean:.4f} ± {half:.2g} bits per pixel"
            if kind != self.kinds[0]:
                saved, width = self.saving(kind)
                line += f"; saves {saved:.2f} ± {width:.2g} % beside {self.kinds[0]}"
            lines.append(f"{line}; mean shape {self.shapes[self.kinds.index(kind)].mean():.2f}")
        inside, outside = self.quality.mean(1)
        note = ", INTERRUPTED before the other pictures" if self.interrupted else ""
        lines += [
            f"{inside:.1f} dB inside the region of interest, {outside:.1f} dB outside, for all alike; coded "
            f"sizes within {100 * self.overhead:.2f} % of their estimates",
            f"{self._what()}, fitted to {self.training} in {self.steps} steps, bound {self.bound}, 95 % "
            f"intervals{note}",
        ]
        return "\n".join(lines)

    def _what(self) -> str:
        return f"{len(self.pictures)} pictures, context {self.context}, weight {self.weight:g}"

    def _of(self, kind: str) -> np.ndarray:
        check_choice("kind", kind, self.kinds)
        return self.coded[self.kinds.index(kind)]


def compare_entropy_models(
    context: str = "region",
    kinds: Sequence[str] = KINDS,
    *,
    pictures: int = len(BOXED),
    weight: float = 16.0,
    step: float = 12.0,
    training: str = "rounding",
    bound: str = "tail",
    steps: int = 200,
    seed: int = 0,
) -> EntropyContest:
    """Code photographs with regions of interest under Gaussian, Laplace and generalised Gaussian models.

    A picture is cut into blocks of 8 × 8, which are transformed (DCT) and rounded, with finer steps inside
    the region of interest. Its symbols, and so its distortion, are the same for all families. A small network
    says scale and, where it is not fixed, shape of every symbol, from what the decoder knows; it is fitted to
    the other pictures. Then a range coder writes the picture, and it is read back.

    Parameters
    ----------
    context : {"frequency", "region", "neighbours"}
        What scales and shapes depend on: see :func:`~workbench.compression.contexts.context_cells`.
    kinds : sequence of {"gaussian", "laplace", "shared", "generalized"}
        Shapes of 2, of 1, one trained shape for all symbols, one for each context; the one to compare with
        first.
    pictures : int
        At least 2; the first of the built-in ones with boxes around objects.
    weight : float
        Of squared errors inside the region of interest, at least 1.
    step : float
        Of the quantiser inside the region, in grey values.
    training : {"rounding", "noise"}
        What networks are fitted to: all symbols as they are coded, or 8192 latents with uniform noise in
        place of rounding, as codecs do whose transform is trained.
    bound : {"tail", "proportional", "constant", "none"}
        Of scales.
    steps, seed : int
        Steps of each fit, and seed of its start and the noise.

    Returns
    -------
    EntropyContest
        An interrupt (Ctrl-C) returns the pictures that were coded in all families.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, there is no kind, or a number is out of range.
    RuntimeError
        If a picture is not read back as it was written.

    Notes
    -----
    Cost: ``len(kinds) * pictures`` fits; a step takes 5 ms for ``"region"`` and 14 ms for ``"neighbours"`` on
    one core.
    """
    check_choice("context", context, CONTEXTS)
    check_choice("training", training, TRAININGS)
    check_choice("bound", bound, BOUNDS)
    if not kinds:
        raise ValueError(f"kinds is empty: name some of {', '.join(KINDS)}")
    for kind in kinds:
        check_choice("kinds", kind, KINDS)
    check_count("pictures", pictures, low=2, high=len(BOXED))
    check_number("weight", weight, low=1, below=math.inf)
    check_number("step", step, above=0, below=math.inf)
    check_count("steps", steps)
    check_count("seed", seed, low=0)
    shown = roi_pictures(pictures)
    blocks = [quantise(picture, step, weight) for picture in shown]
    cells = [context_cells(each, context) for each in blocks]
    found: list[list[tuple[float, float, float]]] = []
    interrupted = False
    try:
        with progress("entropy models compared", pictures * len(kinds)) as advance:
            for place in range(pictures):
                others = [number for number in range(pictures) if number != place]
                sample = _sample(
                    [blocks[each] for each in others], [cells[each] for each in others], training, seed
                )
                row = []
                for kind in kinds:
                    network = fit_network(kind, sample, bound=bound, steps=steps, seed=seed)
                    coded = encode(blocks[place], network, context)
                    read = decode(coded, blocks[place].steps, blocks[place].region, network, context)
                    if not np.array_equal(read, blocks[place].symbols):
                        raise RuntimeError(f"{shown[place].name} is not read back as it was written ({kind})")
                    with torch.no_grad():
                        shape = network(torch.from_numpy(cells[place].ravel()))[1].mean().item()
                    row.append((coded.estimate, float(coded.bits), shape))
                    advance(1)
                found.append(row)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    done = len(found)
    estimated, sizes, shapes = np.array(found).transpose(2, 1, 0)
    return EntropyContest(
        kinds=tuple(kinds),
        pictures=tuple(picture.name for picture in shown[:done]),
        estimated=estimated,
        coded=sizes,
        shapes=shapes,
        quality=np.array(
            [
                quality(picture, reconstruct(each.symbols, each.steps))
                for picture, each in zip(shown[:done], blocks[:done], strict=True)
            ]
        ).T,
        pixels=shown[0].pixels.size,
        context=context,
        training=training,
        bound=bound,
        weight=float(weight),
        step=float(step),
        steps=steps,
        seed=seed,
        interrupted=interrupted,
    )


def _sample(blocks: list[BlockSymbols], cells: list[np.ndarray], training: str, seed: int) -> Sample:
    """Return what a network is fitted to."""
    known = np.concatenate([each.ravel() for each in cells])
    if training == "rounding":
        sizes = np.concatenate([np.abs(each.symbols).ravel() for each in blocks])
        pairs, counts = np.unique(np.stack([known, sizes]), axis=1, return_counts=True)
        return Sample(
            torch.from_numpy(pairs[0]), torch.from_numpy(pairs[1]).float(), torch.from_numpy(counts).float()
        )
    random = np.random.default_rng(seed)
    place = random.choice(len(known), min(_NOISY, len(known)), replace=False)
    latents = np.concatenate([each.latents.ravel() for each in blocks])[place]
    values = torch.from_numpy(latents + random.uniform(-0.5, 0.5, len(place))).float()
    return Sample(torch.from_numpy(known[place]), values, torch.ones(len(place)))
