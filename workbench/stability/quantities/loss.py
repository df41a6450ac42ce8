"""``Loss``: over the problem's data, where the step began."""

from workbench.moment import Moment, Quantity
from workbench.problem import Problem


class Loss(Quantity):
    """The loss over the problem's data, in eval mode. One forward pass: a third of a gradient.

    It is of the whole network: no layer has a loss of its own.
    """

    name, cost = "loss", 1 / 3

    def measure(self, moment: Moment) -> float:
        """Return the loss."""
        return moment.shared(Problem.loss_at)
