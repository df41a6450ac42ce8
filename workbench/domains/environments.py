"""``make_environments``: bundled digits as several training environments, and one that differs from them all.

Every seed deals out the training digits, colours and wrong labels anew; the digits of the test are the same
for all. Sizes of training environments are equal.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.problems.datasets import digits
from workbench.random_vectors import generator

SHIFTS = ("correlation", "label", "diversity")
COLOR_ERRORS = (0.1, 0.2, 0.9)  # how often a colour is not that of the label: training twice, then test
LABEL_ERRORS = 0.25  # share of the labels of coloured digits that are wrong
UPPER_SHARES = (0.1, 0.3, 0.9)  # of the digits 5 to 9
ANGLES = (0.0, 20.0, 40.0, 60.0)  # degrees, against the clock
# Of each coloured digit, with labels and colours of their own: else networks learn wrong labels by heart.
COPIES = 3
_VALIDATION = 0.2  # of each training environment, of other digits
_NAMES = {
    "correlation": tuple(f"colour wrong {error:.0%}" for error in COLOR_ERRORS),
    "label": tuple(f"{share:.0%} above 4" for share in UPPER_SHARES),
    "diversity": tuple(f"{angle:g}°" for angle in ANGLES),
}

Examples = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Environments:
    """Examples of one seed.

    Attributes
    ----------
    shift : str
        ``"correlation"``, ``"label"`` or ``"diversity"``.
    names : tuple of str
        Of the E training environments, and of the test environment.
    train, validation : (Tensor, Tensor)
        Inputs (E, n, pixels) and labels (E, n); the validation examples come from the training environments.
    test : (Tensor, Tensor)
        Inputs (n, pixels) and labels (n,), made of digits that no other environment holds.
    classes : int
    """

    shift: str
    names: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    classes: int


def make_environments(shift: str = "correlation", seed: int = 0) -> Environments:
    """Return coloured or rotated digits (data card: ``digits.md``).

    Parameters
    ----------
    shift : {"correlation", "label", "diversity"}
        ``"correlation"``: digits below 5 or not, a quarter of the labels wrong, in one of two colours, which
        disagrees with the label for 10 and 20 percent, in the test for 90: the recipe of coloured MNIST
        (arXiv 1907.02893). ``"label"``: ten digits, of which 10 and 30 percent are above 4, in the test
        90. ``"diversity"``: ten digits turned by 0, 20 and 40 degrees, in the test by 60.
    seed : int
        Of the split into environments, the colours and the wrong labels.

    Raises
    ------
    TypeError, ValueError
        If the shift is unknown, or the seed is not a whole number from 0.
    """
    check_choice("shift", shift, SHIFTS)
    check_count("seed", seed, low=0)
    random = generator(seed)
    data = digits()
    images, labels = data.train
    order = torch.randperm(len(labels), generator=random)
    images, labels = images[order], labels[order]
    rows, test = _by_share(labels, data.test[1], random) if shift == "label" else _split(shift, len(labels))
    held_out = data.test if test is None else (data.test[0][test], data.test[1][test])
    cut = round(rows.shape[1] * (1 - _VALIDATION))
    train, validation = (
        [_dress(shift, place, images[part], labels[part], random) for place, part in enumerate(parts)]
        for parts in (rows[:, :cut], rows[:, cut:])
    )
    return Environments(
        shift=shift,
        names=_NAMES[shift],
        train=_stack(train),
        validation=_stack(validation),
        test=_dress(shift, len(rows), *held_out, random),
        classes=2 if shift == "correlation" else 10,
    )


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Turn images (n, channels, height, width) against the clock, with zeros from outside (bilinear)."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0]]).expand(len(images), 2, 3)
    grid = F.affine_grid(turn, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _dress(shift: str, place: int, images: Tensor, digits: Tensor, random: torch.Generator) -> Examples:
    """Inputs (n, pixels) and labels (n,) as the environment at this place has them."""
    if shift == "correlation":
        images, digits = _colored(images, digits, COLOR_ERRORS[place], random)
    elif shift == "diversity":
        images = rotated(images, ANGLES[place])
    return images.flatten(1), digits


def _colored(images: Tensor, digits: Tensor, error: float, random: torch.Generator) -> Examples:
    """Images (n, 2, 8, 8) in the channel of their colour, and labels of which a quarter are wrong."""
    images, labels = images.repeat(COPIES, 1, 1, 1), (digits < 5).long().repeat(COPIES)
    labels = labels ^ (torch.rand(len(labels), generator=random) < LABEL_ERRORS)
    colors = labels ^ (torch.rand(len(labels), generator=random) < error)
    return images * F.one_hot(colors, 2)[:, :, None, None], labels


def _stack(parts: list[Examples]) -> Examples:
    return torch.stack([inputs for inputs, _ in parts]), torch.stack([labels for _, labels in parts])


def _split(shift: str, count: int) -> tuple[Tensor, None]:
    """Rows (E, n) of the training environments; all held-out digits are the test."""
    environments = len(_NAMES[shift]) - 1
    size = count // environments
    return torch.arange(environments * size).view(environments, size), None


def _by_share(labels: Tensor, test_labels: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows (E, n) of the training environments and (n,) of the test, with the given shares."""
    *shares, of_test = UPPER_SHARES
    size = math.floor(int((labels < 5).sum()) / sum(1 - share for share in shares))
    lower, upper = (labels < 5).nonzero().flatten(), (labels >= 5).nonzero().flatten()
    rows = []
    for share in shares:
        high = round(share * size)
        taken = torch.cat([lower[: size - high], upper[:high]])
        rows.append(taken[torch.randperm(size, generator=random)])
        lower, upper = lower[size - high :], upper[high:]
    upper = (test_labels >= 5).nonzero().flatten()
    below = round(len(upper) / of_test * (1 - of_test))
    return torch.stack(rows), torch.cat([(test_labels < 5).nonzero().flatten()[:below], upper])
