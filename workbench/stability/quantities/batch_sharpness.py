"""``BatchSharpness``: the curvature of a minibatch's loss along its own gradient."""

import math
from typing import Any

import numpy as np
import torch

from workbench.batches import Batch
from workbench.moment import Moment, Quantity, Reading
from workbench.problem import Problem
from workbench.result import standard_error
from workbench.stability.quantities.curvature_of import PRODUCT, check_hessian
from workbench.stability.quantities.minibatches import check_minibatches, fitting_size, minibatches

_USUAL = 64  # examples of a batch


class BatchSharpness(Quantity):
    r"""Curvature of the minibatch loss along the minibatch gradient, averaged over random minibatches.

    Two averages are in use, and both are recorded, each with its standard error: the ratio of the means,
    :math:`E[g_B^\top H_B g_B] / E[\|g_B\|^2]`, and, as the part ``"mean of ratios"``,
    :math:`E[g_B^\top H_B g_B / \|g_B\|^2]`. The authors' released code takes the second by default and the
    first as an option; an earlier state of it took the first. nan if all gradients are 0.

    Cost: a gradient and a product for each batch, of its share of the data.

    Source: Andreyev and Beneventano, "Edge of stochastic stability" (arXiv 2412.20553): SGD with batches of
    this size holds it at :math:`2/\eta`.

    Parameters
    ----------
    size : int, optional
        Examples of a batch: that of the training, for the claim to apply. By default 64, or all but one.
    batches : int
        At least 2.
    seed : int
        Of the batches, which are others at each step.
    """

    name = "batch_sharpness"

    def __init__(self, size: int | None = None, batches: int = 20, *, seed: int = 0) -> None:
        self.size, self.batches, self.seed = size, batches, seed

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives or that is not made of those of the examples."""
        self._size = fitting_size(problem, _USUAL) if self.size is None else self.size
        check_minibatches(self.name, problem, self._size, self.batches, least=2)
        check_hessian(problem)
        self.cost = (1 + PRODUCT) * self.batches * self._size / problem.num_examples

    def measure(self, moment: Moment) -> dict[str, Reading]:
        """Return both averages."""
        drawn = minibatches(moment.problem, self._size, self.batches, self.seed + moment.step)
        bent, squares = np.array([bend_and_square(moment.problem, batch) for batch in drawn]).T
        if not (squares > 0).any():  # nan included: the loss is not finite
            return {"": Reading(math.nan, math.nan), "mean of ratios": Reading(math.nan, math.nan)}
        ratios = bent[squares > 0] / squares[squares > 0]
        return {
            "": ratio_of_means(bent, squares),
            "mean of ratios": Reading(float(ratios.mean()), float(standard_error(ratios))),
        }


@torch.enable_grad()
def bend_and_square(problem: Problem, batch: Batch) -> tuple[float, float]:
    """Return gᵀHg and ‖g‖² of a batch's loss with its own gradient g and Hessian H."""
    leaves = problem.leaves()
    loss = problem.evaluate(leaves, batch)[1]
    tensors = list(leaves.values())
    gradient = torch.autograd.grad(loss, tensors, create_graph=True, materialize_grads=True)
    fixed = [part.detach() for part in gradient]
    product = sum((part * vector).sum() for part, vector in zip(gradient, fixed, strict=True))
    assert isinstance(product, torch.Tensor)
    image = torch.autograd.grad(product, tensors, materialize_grads=True)
    bent = sum((h.double() * v.double()).sum().item() for h, v in zip(image, fixed, strict=True))
    return bent, sum(v.double().square().sum().item() for v in fixed)


def ratio_of_means(above: np.ndarray, below: np.ndarray) -> Reading:
    """Ratio of two means over the same samples, and its standard error to first order."""
    ratio = above.mean() / below.mean()
    return Reading(float(ratio), float(standard_error((above - ratio * below) / below.mean())))
