"""``UpdateNorm``: how far the step went."""

from torch import Tensor

from workbench.moment import Moment
from workbench.stability.quantities.vector_norm import VectorNorm


class UpdateNorm(VectorNorm):
    """Euclidean norm of what the step added to the parameters, momentum and all. No gradient."""

    name, cost = "update_norm", 0.0

    def vector(self, moment: Moment) -> Tensor:
        """The update (n,)."""
        return moment.update
