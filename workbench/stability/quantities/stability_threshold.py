"""``StabilityThreshold``: the curvature above which the optimizer's steps on a quadratic grow."""

from typing import Any

from torch.optim import SGD, Adam, AdamW

from workbench.moment import Moment, Quantity
from workbench.problem import Problem


class StabilityThreshold(Quantity):
    r"""The sharpness up to which the optimizer is stable on a quadratic, by its present learning rate.

    Of gradient descent :math:`2/\eta`; with momentum β and dampening d
    :math:`(2+2\beta)/((1-d)\,\eta)`; with Nesterov's momentum :math:`(2+2\beta)/((1+2\beta)\,\eta)`; of Adam,
    for the preconditioned sharpness, :math:`(2+2\beta_1)/((1-\beta_1)\,\eta)`. Weight decay is not in it, and
    of several parameter groups the first counts. No gradient.

    Sources: Cohen et al. 2021 (arXiv 2103.00065) for momentum, Cohen et al. 2022 (arXiv 2207.14484) for Adam;
    dampening derived here, by the rescaled learning rate.
    """

    name, cost = "stability_threshold", 0.0

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse an optimizer whose threshold is not known."""
        if not isinstance(optimizer, SGD | Adam | AdamW):
            kind = type(optimizer).__name__
            raise ValueError(f"the threshold of {kind} is not known: allowed are SGD, Adam and AdamW")

    def measure(self, moment: Moment) -> float:
        """Return the threshold."""
        group = moment.optimizer.param_groups[0]
        rate = float(group["lr"])
        if rate == 0:
            return float("inf")
        if isinstance(moment.optimizer, SGD):
            momentum = float(group["momentum"])
            if group["nesterov"]:
                return (2 + 2 * momentum) / ((1 + 2 * momentum) * rate)
            scale = 1 - float(group["dampening"]) if momentum else 1.0
            return (2 + 2 * momentum) / (scale * rate)
        momentum = float(group["betas"][0])
        return (2 + 2 * momentum) / ((1 - momentum) * rate)
