"""``GradientNorm``: length of the gradient over the problem's data."""

from workbench.moment import Moment, Quantity, Readings, norm
from workbench.stability.quantities.layers import layer_norms


class GradientNorm(Quantity):
    """Euclidean norm of the gradient over the problem's data, where the step began. One gradient.

    Parameters
    ----------
    by_layer : bool
        One norm for each layer; the squares of them add up to that of the whole.
    """

    cost = 1.0

    def __init__(self, by_layer: bool = False) -> None:
        self.by_layer = by_layer
        self.name = "gradient_norm_by_layer" if by_layer else "gradient_norm"

    def measure(self, moment: Moment) -> Readings:
        """Return the norm."""
        gradient = moment.gradient
        return layer_norms(moment.problem, gradient) if self.by_layer else norm(gradient)
