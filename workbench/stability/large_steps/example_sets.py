"""``example_sets``: pairs of digits to be told apart by a plane, easy, hard, and impossible; many at once."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.problems.datasets import digits
from workbench.random_vectors import generator
from workbench.stability.large_steps.margins import max_margins

Pair = tuple[int, int]
_DIGITS = tuple("0123456789")
KINDS = ("separable", "close", "ill-conditioned", "imbalanced", "contradictory")
PAIRS = ("0/1", "1/8", "3/9", "8/9")
MOST_EXAMPLES = 96  # of each class: an imbalanced set takes 1.8 times as many of one, and all digits have 174
_RARE = 0.1  # share of the rarer class in an imbalanced set
_CLOSE = 0.3  # share of the margin that close classes keep
_LEAST = 0.03  # factor of the faintest pixel of an ill-conditioned set


@dataclasses.dataclass(frozen=True)
class ExampleSets:
    """Sets of examples of two classes, alike in shape.

    Attributes
    ----------
    rows : Tensor (sets, n, d)
        Examples times their label, y a, float64: a set is separated by w where all ``rows @ w`` are positive.
    kinds : tuple of str
        Of each set.
    pairs : tuple of str
        The digits of each set, as ``"1/8"``; the first has the label 1.
    seeds : tuple of int
        Of each draw.

    Raises
    ------
    ValueError
        If the rows have another shape or type, or there is not one kind, pair and seed for each set.
    """

    rows: Tensor
    kinds: tuple[str, ...]
    pairs: tuple[str, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        rows = self.rows
        if rows.ndim != 3 or rows.dtype != torch.float64 or not rows.numel():
            raise ValueError(
                f"rows of shape {tuple(rows.shape)}, {rows.dtype}: they must be float64, "
                "(sets, examples, dimensions)"
            )
        for name in ("kinds", "pairs", "seeds"):
            if len(getattr(self, name)) != len(rows):
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {len(rows)} sets")

    def __len__(self) -> int:
        return len(self.rows)

    def columns(self) -> dict[str, np.ndarray]:
        """Kind, digits and seed of each set, as columns of a table."""
        return {"kind": np.array(self.kinds), "pair": np.array(self.pairs), "seed": np.array(self.seeds)}


def example_sets(
    kinds: Sequence[str] = KINDS,
    pairs: Sequence[str] = PAIRS,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    examples: int = 80,
) -> ExampleSets:
    """Draw sets of two digits each: pixels in [0, 1] and a constant 1 for the offset of the plane.

    Parameters
    ----------
    kinds : sequence of {"separable", "close", "ill-conditioned", "imbalanced", "contradictory"}
        ``"separable"``: digits as they are. ``"close"``: both classes moved towards each other along the
        normal of the widest gap, until 0.3 of their margin is left. ``"ill-conditioned"``: pixels times
        factors from 1 to 0.03, in random order. ``"imbalanced"``: one class has a tenth of the examples.
        ``"contradictory"``: one example is there twice, once in each class, so that no plane separates them.
    pairs : sequence of str
        Two different digits each, as ``"1/8"``.
    seeds : sequence of int
        A draw of each kind and pair for each.
    examples : int
        Of each class, on average; at most 96.

    Returns
    -------
    ExampleSets
        In the order of kinds, pairs and seeds.

    Raises
    ------
    TypeError, ValueError
        If a kind is unknown, a pair is not of two different digits, there is none of either, or a number is
        out of range.
    """
    for kind in kinds:
        check_choice("kinds", kind, KINDS)
    for seed in seeds:
        check_count("seed", seed, 0)
    if not (len(kinds) and len(pairs) and len(seeds)):
        raise ValueError("kinds, pairs or seeds is empty: name at least one of each")
    check_count("examples", examples, 10, MOST_EXAMPLES)
    images, labels = (torch.cat(parts) for parts in zip(*dataclasses.astuple(digits()), strict=True))
    pixels = images.flatten(1).double()
    made = [
        (_MAKERS[kind](pixels, labels, _digits_of(pair), examples, seed), kind, pair, int(seed))
        for kind in kinds
        for pair in pairs
        for seed in seeds
    ]
    rows, told, drawn, seeded = zip(*made, strict=True)
    return ExampleSets(torch.stack(rows), told, drawn, seeded)


def worst_case(examples: int = 1000) -> ExampleSets:
    """The set of Tyurin's Theorem 5.1, on which batch steps take a time that grows with its size.

    One example (½, −1) of class 1, all others (−½, −1) of class −1: the one is outvoted.

    Parameters
    ----------
    examples : int
        In all, at least 10.

    Raises
    ------
    TypeError, ValueError
        If it is no whole number, or too small.
    """
    check_count("examples", examples, 10)
    rows = torch.tensor([[0.5, 1.0]], dtype=torch.float64).repeat(examples, 1)
    rows[0, 1] = -1
    return ExampleSets(rows[None], ("worst case",), ("-",), (0,))


def _digits_of(pair: str) -> Pair:
    """The two digits of ``"1/8"``."""
    first, _, second = str(pair).partition("/")
    if not (first in _DIGITS and second in _DIGITS) or first == second:
        raise ValueError(f"pairs has {pair!r}: a pair is two different digits, such as '1/8'")
    return int(first), int(second)


def _separable(
    pixels: Tensor, labels: Tensor, pair: Pair, examples: int, seed: int, share: float = 0.5
) -> Tensor:
    source = generator(seed)
    count = round(2 * examples * share)
    rows = []
    for digit, sign, wanted in ((pair[0], 1.0, count), (pair[1], -1.0, 2 * examples - count)):
        known = pixels[labels == digit]
        chosen = known[torch.randperm(len(known), generator=source)[:wanted]]
        rows.append(sign * torch.cat([chosen, torch.ones_like(chosen[:, :1])], dim=1))
    return torch.cat(rows)


def _imbalanced(pixels: Tensor, labels: Tensor, pair: Pair, examples: int, seed: int) -> Tensor:
    return _separable(pixels, labels, pair, examples, seed, share=_RARE)


def _close(pixels: Tensor, labels: Tensor, pair: Pair, examples: int, seed: int) -> Tensor:
    """Moving all rows against the normal moves the point of their hull that is nearest to 0."""
    rows = _separable(pixels, labels, pair, examples, seed)
    found = max_margins(rows[None])
    return rows - (1 - _CLOSE) * found.margin * found.direction


def _ill_conditioned(pixels: Tensor, labels: Tensor, pair: Pair, examples: int, seed: int) -> Tensor:
    factors = torch.from_numpy(np.geomspace(1, _LEAST, pixels.shape[1]))
    order = torch.randperm(len(factors), generator=generator(seed))
    return _separable(pixels * factors[order], labels, pair, examples, seed)


def _contradictory(pixels: Tensor, labels: Tensor, pair: Pair, examples: int, seed: int) -> Tensor:
    rows = _separable(pixels, labels, pair, examples, seed)
    rows[-1] = -rows[0]
    return rows


_MAKERS: dict[str, Callable[[Tensor, Tensor, Pair, int, int], Tensor]] = {
    "separable": _separable,
    "close": _close,
    "ill-conditioned": _ill_conditioned,
    "imbalanced": _imbalanced,
    "contradictory": _contradictory,
}
