"""``BatchSharpness``: the curvature of a minibatch's loss along its own gradient."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.batches import Batch
from workbench.layout import layers_of
from workbench.minibatches import check_minibatches, fitting_size, minibatches
from workbench.moment import Moment, Reading
from workbench.problem import Problem
from workbench.result import standard_error
from workbench.stability.quantities.curvature_of import PRODUCT, check_hessian
from workbench.stability.quantities.layers import Layered, count_layers, named_by_layer

_USUAL = 64  # examples of a batch


class BatchSharpness(Layered):
    r"""Curvature of the minibatch loss along the minibatch gradient, averaged over random minibatches.

    Two averages are in use, and both are recorded, each with its standard error: the ratio of the means,
    :math:`E[g_B^\top H_B g_B] / E[\|g_B\|^2]`, and, as the part ``"mean of ratios"``,
    :math:`E[g_B^\top H_B g_B / \|g_B\|^2]`. The authors' released code takes the second by default and the
    first as an option; an earlier state of it took the first. nan if all gradients are 0.

    Cost: a gradient and a product for each batch, of its share of the data; by layer a product for each.

    Source: Andreyev and Beneventano, "Edge of stochastic stability" (arXiv 2412.20553): SGD with batches of
    this size holds it at :math:`2/\eta`.

    Parameters
    ----------
    size : int, optional
        Examples of a batch: that of the training, for the claim to apply. By default 64, or all but one.
    batches : int
        At least 2.
    by_layer : bool
        That of each layer's diagonal block along its part of the minibatch gradient instead.
    seed : int
        Of the batches, which are others at each step.
    """

    name = "batch_sharpness"

    def __init__(
        self, size: int | None = None, batches: int = 20, by_layer: bool = False, *, seed: int = 0
    ) -> None:
        super().__init__(by_layer)
        self.size, self.batches, self.seed = size, batches, seed

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse a loss without second derivatives or that is not made of those of the examples."""
        self._size = fitting_size(problem, _USUAL) if self.size is None else self.size
        check_minibatches(self.name, problem, self._size, self.batches, least=2)
        check_hessian(problem)
        products = count_layers(problem) if self.by_layer else 1
        self.cost = (1 + PRODUCT * products) * self.batches * self._size / problem.num_examples

    def measure(self, moment: Moment) -> dict[str, Reading]:
        """Return both averages."""
        problem = moment.problem
        whole = {"": [part.name for part in problem.layout]}
        groups = layers_of(problem.layout) if self.by_layer else whole
        drawn = minibatches(problem, self._size, self.batches, self.seed + moment.step)
        found = np.array([bends_and_squares(problem, batch, groups) for batch in drawn])
        return named_by_layer({name: _averages(*found[:, place].T) for place, name in enumerate(groups)})


def _averages(bent: np.ndarray, squares: np.ndarray) -> dict[str, Reading]:
    """Both averages over the batches, of their gᵀHg and ‖g‖²."""
    if not (squares > 0).any():  # nan included: the loss is not finite
        return {"": Reading(math.nan, math.nan), "mean of ratios": Reading(math.nan, math.nan)}
    ratios = bent[squares > 0] / squares[squares > 0]
    return {
        "": ratio_of_means(bent, squares),
        "mean of ratios": Reading(float(ratios.mean()), float(standard_error(ratios))),
    }


@torch.enable_grad()
def bends_and_squares(
    problem: Problem, batch: Batch, groups: Mapping[str, Sequence[str]]
) -> list[tuple[float, float]]:
    """Return gᵀHg and ‖g‖² of a batch's loss for each group of parameters, as if there were no others.

    g is the group's part of the gradient, H its diagonal block. One graph of the gradient serves all groups.
    """
    leaves = problem.leaves()
    loss = problem.evaluate(leaves, batch)[1]
    slopes = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, materialize_grads=True)
    gradient = dict(zip(leaves, slopes, strict=True))
    found = []
    for names in groups.values():
        fixed = [gradient[name].detach() for name in names]
        product = sum((gradient[name] * v).sum() for name, v in zip(names, fixed, strict=True))
        assert isinstance(product, Tensor)
        bent = 0.0
        if product.requires_grad:  # a layer that the loss does not see, or sees as constant, is not curved
            image = torch.autograd.grad(
                product, [leaves[name] for name in names], retain_graph=True, materialize_grads=True
            )
            bent = sum((h.double() * v.double()).sum().item() for h, v in zip(image, fixed, strict=True))
        found.append((bent, sum(v.double().square().sum().item() for v in fixed)))
    return found


def ratio_of_means(above: np.ndarray, below: np.ndarray) -> Reading:
    """Ratio of two means over the same samples, and its standard error to first order."""
    ratio = above.mean() / below.mean()
    return Reading(float(ratio), float(standard_error((above - ratio * below) / below.mean())))
