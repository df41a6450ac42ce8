"""``RateSearch``: where training begins to fail, climbed to on a grid of rates, one seed after the other."""

import functools
import itertools
import math
import random

from workbench.progress import Advance
from workbench.stability.rate_advice.short_runs import ShortRuns

FACTOR = math.sqrt(2)  # between neighbouring rates
USUAL_RUNS = 9  # of a seed
_BELOW = 6  # rates of the grid that a search starts below where it expects the limit: a factor of 8
_FARTHEST = 40  # steps of the grid from there: a factor of a million
MOST_RUNS = 2 * _FARTHEST + 1  # of a seed: all places on both sides of the start, and the two above them


class OutOfBudget(Exception):
    """The next run would cost more than there is left."""


class RateSearch:
    """Limits of seeds, each on a grid of its own.

    The grids have the same spacing, and a random phase: what the spacing hides is another part of it for
    each seed then, so that the middle of the two rates that enclose a limit is right in the mean.

    Parameters
    ----------
    runs : ShortRuns
    guess : float
        Rate near which the first search looks.
    threshold : float
        Loss that a run ends under if it survives.
    budget : float
        Gradients over the data that runs may cost, but for those of the first seed if one of its first nine
        survives.
    advance : callable
        Told of each run.
    """

    def __init__(
        self, runs: ShortRuns, guess: float, threshold: float, budget: float, advance: Advance
    ) -> None:
        self._runs, self._guess, self._threshold = runs, guess, threshold
        self._budget, self._advance = budget, advance
        self._place = 0  # of the last limit, on the grid
        self._any_survived = False
        self.limits: list[float] = []
        self.trials: list[tuple[int, float, float]] = []

    def add_limit(self, seed: int) -> None:
        """Climb from below where the limit is expected, or from the nearest rate that survives.

        Raises
        ------
        OutOfBudget
            Before a run for which nothing is left.
        ValueError
            If no rate survives, or all do.
        """
        survives = functools.cache(functools.partial(self._survives, seed))
        start = self._place - _BELOW
        places = itertools.chain((start,), *((start - far, start + far) for far in range(1, _FARTHEST)))
        place = next(filter(survives, places), None)
        if place is None:
            raise ValueError(
                f"no learning rate ends under a loss of {self._threshold:.3g} after {self._runs.steps} "
                "steps: give more steps, or a threshold"
            )
        while survives(place + 1):
            place += 1
            if place > start + _FARTHEST:
                raise ValueError(f"every rate up to {self._rate(seed, place):.3g} survives: is it used?")
        self._place = place
        self.limits.append(self._rate(seed, place + 0.5))

    def _rate(self, seed: int, place: float) -> float:
        return self._guess * FACTOR ** (place + random.Random(seed).random())

    def _survives(self, seed: int, place: int) -> bool:
        # The first seed is finished in any case, unless nothing shows that it ends.
        stoppable = bool(self.limits) or (not self._any_survived and len(self.trials) >= USUAL_RUNS)
        if stoppable and self._runs.gradients + self._runs.gradients_each > self._budget:
            raise OutOfBudget
        rate = self._rate(seed, place)
        loss = self._runs.final_loss(rate, seed)
        self.trials.append((seed, rate, loss))
        self._advance(self._runs.steps, f"rate {rate:.2g}, loss {loss:.3g}")
        self._any_survived |= loss < self._threshold
        return loss < self._threshold
