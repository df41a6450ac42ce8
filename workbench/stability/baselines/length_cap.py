"""``LengthCap``: steps of bounded length, which know nothing of the logits."""

import math
import statistics
from collections import deque

from torch.optim import Optimizer

from workbench.choices import check_count
from workbench.stability.updates import length, scale_step, take_step


class LengthCap:
    """Shorten updates of an optimizer that are longer than a constant, or than what has been usual.

    The state of the optimizer is that of its whole step, as with :class:`TaylorController`; all that differs
    is what the length is held against.

    Parameters
    ----------
    optimizer : Optimizer
        Any of torch's.
    longest : float, optional
        Longest update. By default the median of the lengths taken so far, of which there have to be two.
    memory : int
        Number of past lengths that the median is taken over.

    Raises
    ------
    ValueError
        If ``longest`` is not positive or ``memory`` is below 2.
    """

    def __init__(self, optimizer: Optimizer, longest: float | None = None, memory: int = 50) -> None:
        if longest is not None and not 0 < longest < math.inf:
            raise ValueError(f"longest={longest} is out of range: it must be positive")
        check_count("memory", memory, low=2)
        self.optimizer, self.longest = optimizer, longest
        self._taken: deque[float] = deque(maxlen=memory)

    def step(self) -> float:
        """Take one step; returns the part of the update that was taken."""
        step = take_step(self.optimizer)
        proposed = length(step.update)
        limit = self._limit()
        scale = limit / proposed if proposed > limit else 1.0
        if scale != 1:
            scale_step(self.optimizer, step, scale)
        self._taken.append(scale * proposed)
        return scale

    def _limit(self) -> float:
        if self.longest is not None:
            return self.longest
        return statistics.median(self._taken) if len(self._taken) > 1 else math.inf
