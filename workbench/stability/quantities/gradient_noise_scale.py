r"""``GradientNoiseScale``: the batch size at which noise and signal of the gradient are alike."""

import math
from typing import Any

import numpy as np

from workbench.moment import Moment, Quantity, Reading
from workbench.problem import Problem
from workbench.result import standard_error
from workbench.stability.quantities.minibatches import check_minibatches, fitting_size, minibatches

_USUAL = 16  # examples of a batch


class GradientNoiseScale(Quantity):
    r"""The simple noise scale :math:`\mathrm{tr}\,\Sigma / |G|^2` of the gradients of single examples.

    With :math:`g_B` of random minibatches and g of all N examples, unbiased estimates are

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
    seed : int
        Of the batches, which are others at each step.
    """

    name = "gradient_noise_scale"

    def __init__(self, size: int | None = None, batches: int = 20, *, seed: int = 0) -> None:
        self.size, self.batches, self.seed = size, batches, seed

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse losses that are not made of those of the examples."""
        self._size = fitting_size(problem, _USUAL) if self.size is None else self.size
        check_minibatches(self.name, problem, self._size, self.batches, least=2)
        self.cost = 1 + self.batches * self._size / problem.num_examples

    def measure(self, moment: Moment) -> dict[str, Reading]:
        """Return the noise scale, the noise and the signal."""
        whole = moment.gradient.double()
        problem = moment.problem
        drawn = minibatches(problem, self._size, self.batches, self.seed + moment.step)
        gradients = (problem.batch_gradient(problem.parameters(), batch).double() for batch in drawn)
        distances = np.array([(gradient - whole).square().sum().item() for gradient in gradients])
        return noise_scale(distances, whole.square().sum().item(), self._size, problem.num_examples)


def noise_scale(distances: np.ndarray, square: float, size: int, examples: int) -> dict[str, Reading]:
    """Noise scale, noise and signal from |g_B - g|² (batches,), |g|², B and N; errors to first order."""
    samples = distances / (1 / size - 1 / examples)
    noise, error = float(samples.mean()), float(standard_error(samples))
    signal = square - noise / examples
    ratio = Reading(math.inf, math.nan)
    if signal > 0:
        # d(noise / signal) / d(noise), as the signal falls with the noise
        ratio = Reading(noise / signal, error * square / signal**2)
    return {"": ratio, "noise": Reading(noise, error), "signal": Reading(signal, error / examples)}
