r"""``GradientNoiseScale``: the batch size at which noise and signal of the gradient are alike."""

from typing import Any

import numpy as np
from torch import Tensor

from workbench.minibatches import check_minibatches, fitting_size, minibatches
from workbench.moment import Moment, Reading
from workbench.noise_scales import noise_scale
from workbench.problem import Problem
from workbench.stability.quantities.layers import Layered, layer_parts, named_by_layer

_USUAL = 16  # examples of a batch


class GradientNoiseScale(Layered):
    r"""The batch size at which noise and signal of the gradient are alike.

    It is the simple noise scale :math:`\mathrm{tr}\,\Sigma / |G|^2` of the gradients of single examples. With
    :math:`g_B` of random minibatches and g of all N examples, unbiased estimates are

    .. math::
        \mathrm{tr}\,\Sigma = \frac{E|g_B - g|^2}{1/B - 1/N}, \qquad |G|^2 = |g|^2 - \mathrm{tr}\,\Sigma / N,

    where G and Σ belong to what the examples are drawn from. They are recorded as the parts ``"noise"`` and
    ``"signal"``, each with its standard error; the main number is their ratio, inf where no signal stands out
    of the noise. Cost: a gradient, and one for each batch, of its share of the data.

    Source: McCandlish et al. 2018 (arXiv 1812.06162), appendix A.1, with N as the large batch; since the
    batches are drawn from those examples, :math:`E|g_B|^2 - |g|^2 = E|g_B - g|^2`, which fluctuates less.

    Parameters
    ----------
    size : int, optional
        Examples of a batch, B. By default 16, or all but one.
    batches : int
        At least 2.
    by_layer : bool
        That of each layer's part of the gradients instead, at no further cost; noise and signal of the layers
        add up to those of the whole.
    seed : int
        Of the batches, which are others at each step.
    """

    name = "gradient_noise_scale"

    def __init__(
        self, size: int | None = None, batches: int = 20, by_layer: bool = False, *, seed: int = 0
    ) -> None:
        super().__init__(by_layer)
        self.size, self.batches, self.seed = size, batches, seed

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse losses that are not made of those of the examples."""
        self._size = fitting_size(problem, _USUAL) if self.size is None else self.size
        check_minibatches(self.name, problem, self._size, self.batches, least=2)
        self.cost = 1 + self.batches * self._size / problem.num_examples

    def measure(self, moment: Moment) -> dict[str, Reading]:
        """Return the noise scale, the noise and the signal."""
        problem = moment.problem
        whole = self._squares(problem, moment.gradient.double())
        drawn = minibatches(problem, self._size, self.batches, self.seed + moment.step)
        gradients = (problem.batch_gradient(problem.parameters(), batch).double() for batch in drawn)
        distances = [self._squares(problem, gradient - moment.gradient.double()) for gradient in gradients]
        return named_by_layer(
            {
                name: noise_scale(
                    np.array([each[name] for each in distances]), square, self._size, problem.num_examples
                )
                for name, square in whole.items()
            }
        )

    def _squares(self, problem: Problem, vector: Tensor) -> dict[str, float]:
        """Squared length of a vector, or of each layer's part."""
        parts = layer_parts(problem, vector) if self.by_layer else {"": vector}
        return {name: part.square().sum().item() for name, part in parts.items()}
