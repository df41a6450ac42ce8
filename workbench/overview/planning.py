"""Which measurements a budget buys: the most informative first, each as deep as the rest allows."""

import dataclasses
from collections.abc import Mapping, Sequence

from workbench.overview.budget import Prices


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a measurement takes.

    Attributes
    ----------
    gradients, forwards, products : float
        Passes over the data: backward, forward, and products with the Hessian.
    steps : float
        Of training on a minibatch.
    vectors : float
        Vector work beside these: additions to a vector as long as the parameters, each with an inner product.
        It costs time, and no gradients.
    """

    gradients: float = 0.0
    forwards: float = 0.0
    steps: float = 0.0
    products: float = 0.0
    vectors: float = 0.0

    def at(self, prices: Prices) -> float:
        """In gradients over the data."""
        return (
            self.gradients
            + self.forwards * prices.forward
            + self.steps * prices.step
            + self.products * prices.product
            + self.vectors * prices.vector
        )


@dataclasses.dataclass(frozen=True)
class Level:
    """How deep a section measures.

    Attributes
    ----------
    cost : Cost
    settings : dict
        What the section's function takes.
    bare : bool
        Whether it leaves out the very thing that the section is for: only where the next level does not fit.
    """

    cost: Cost
    settings: dict[str, int]
    bare: bool = False


def least(levels: Sequence[Level]) -> Level:
    """The cheapest level that is not bare."""
    return next(level for level in levels if not level.bare)


def choose_levels(
    offers: Mapping[str, Sequence[Level]], prices: Prices, budget: float
) -> tuple[dict[str, Level], dict[str, float]]:
    """Choose a level for each section.

    Parameters
    ----------
    offers : mapping of str to sequence of Level
        By section, the most informative first; the levels of each from the cheapest on.
    prices : Prices
    budget : float
        In gradients over the data.

    Returns
    -------
    chosen : dict of str to Level
        First each section's cheapest level, in order, as far as the budget goes, which is a bare one only if
        the next does not fit; then deeper ones in order, round after round.
    missing : dict of str to float
        What the cheapest level of each section that does not fit costs.
    """
    chosen: dict[str, int] = {}
    missing: dict[str, float] = {}
    left = budget
    for key, levels in offers.items():
        fitting = [place for place, level in enumerate(levels) if level.cost.at(prices) <= left]
        if not fitting:
            missing[key] = levels[0].cost.at(prices)
            continue
        first = levels.index(least(levels))
        chosen[key] = first if first in fitting else fitting[0]
        left -= levels[chosen[key]].cost.at(prices)
    deeper = True
    while deeper:
        deeper = False
        for key in chosen:
            levels, depth = offers[key], chosen[key] + 1
            if depth == len(levels) or levels[depth - 1].bare:
                continue
            more = levels[depth].cost.at(prices) - levels[depth - 1].cost.at(prices)
            if more <= left:
                chosen[key], left, deeper = depth, left - more, True
    return {key: offers[key][depth] for key, depth in chosen.items()}, missing
