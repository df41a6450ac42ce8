"""``VectorNorm``: what the norms of the gradient and of the update share as recorded quantities."""

from torch import Tensor

from workbench.moment import Moment, Readings, norm
from workbench.stability.quantities.layers import Layered, layer_parts


class VectorNorm(Layered):
    """Euclidean norm of a vector in the space of the parameters.

    Parameters
    ----------
    by_layer : bool
        One norm for each layer; the squares of them add up to that of the whole.
    """

    def __init__(self, by_layer: bool = False) -> None:
        super().__init__(by_layer)

    def measure(self, moment: Moment) -> Readings:
        """Return the norm."""
        vector = self.vector(moment)
        if not self.by_layer:
            return norm(vector)
        return {layer: norm(part) for layer, part in layer_parts(moment.problem, vector).items()}

    def vector(self, moment: Moment) -> Tensor:
        """The vector (n,)."""
        raise NotImplementedError
