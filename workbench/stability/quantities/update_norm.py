"""``UpdateNorm``: how far the step went."""

from workbench.moment import Moment, Quantity, Readings, norm
from workbench.stability.quantities.layers import layer_norms


class UpdateNorm(Quantity):
    """Euclidean norm of what the step added to the parameters, momentum and all. No gradient.

    Parameters
    ----------
    by_layer : bool
        One norm for each layer; the squares of them add up to that of the whole.
    """

    cost = 0.0

    def __init__(self, by_layer: bool = False) -> None:
        self.by_layer = by_layer
        self.name = "update_norm_by_layer" if by_layer else "update_norm"

    def measure(self, moment: Moment) -> Readings:
        """Return the norm."""
        return layer_norms(moment.problem, moment.update) if self.by_layer else norm(moment.update)
