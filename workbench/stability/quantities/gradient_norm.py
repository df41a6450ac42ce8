"""``GradientNorm``: length of the gradient over the problem's data."""

from torch import Tensor

from workbench.moment import Moment
from workbench.stability.quantities.vector_norm import VectorNorm


class GradientNorm(VectorNorm):
    """Euclidean norm of the gradient over the problem's data, where the step began. One gradient."""

    name, cost = "gradient_norm", 1.0

    def vector(self, moment: Moment) -> Tensor:
        """The gradient (n,)."""
        return moment.gradient
