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
    """

    cost: Cost
    settings: dict[str, int]


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
        First each section's cheapest level, in order, as far as the budget goes; then deeper ones in order,
        round after round.
    missing : dict of str to float
        What the cheapest level of each section that does not fit costs.
    """
    chosen: dict[str, int] = {}
    missing: dict[str, float] = {}
    left = budget
    for key, levels in offers.items():
        price = levels[0].cost.at(prices)
        if price <= left:
            chosen[key], left = 0, left - price
        else:
            missing[key] = price
    for depth in range(1, max(map(len, offers.values()), default=0)):
        for key, levels in offers.items():
            if chosen.get(key) != depth - 1 or depth == len(levels):
                continue
            more = levels[depth].cost.at(prices) - levels[depth - 1].cost.at(prices)
            if more <= left:
                chosen[key], left = depth, left - more
    return {key: offers[key][depth] for key, depth in chosen.items()}, missing
