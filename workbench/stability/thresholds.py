"""``sharpness_threshold``: how curved a quadratic may be before an optimiser diverges on it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop


class Threshold(NamedTuple):
    """The curvature at which an optimiser begins to diverge.

    Attributes
    ----------
    value : float
        The optimiser converges on a quadratic whose largest eigenvalue is below and diverges above.
    preconditioned : bool
        Whether the eigenvalue is that of the Hessian divided by the optimiser's own scale of each parameter,
        :math:`P^{-1} H`, rather than of H.
    rule : str
        The formula.
    """

    value: float
    preconditioned: bool
    rule: str


def sharpness_threshold(optimizer: Optimizer) -> Threshold:
    r"""Largest eigenvalue :math:`\lambda` of the Hessian with which full-batch steps stay stable.

    On the quadratic :math:`\frac\lambda2\theta^2` a step is linear in the parameter and the optimiser's
    memory of it; the threshold is where an eigenvalue of that 2 × 2 matrix reaches −1. With learning rate
    :math:`\eta` and momentum :math:`\beta`:

    ===========================  =====================================================================
    gradient descent             :math:`2/\eta`
    heavy ball                   :math:`(2 + 2\beta)/\eta`, over :math:`1 - d` with dampening d
    Nesterov                     :math:`(2 + 2\beta)/(\eta (1 + 2\beta))`
    Adam, preconditioned         :math:`(2 + 2\beta_1)/(\eta (1 - \beta_1))`, which is 38/η for 0.9
    AdamW, preconditioned        :math:`(1 + \beta_1)(2 - \eta w)/(\eta (1 - \beta_1))`
    RMSprop, preconditioned      :math:`(2 + 2\beta)/\eta`
    ===========================  =====================================================================

    SGD's weight decay w adds to every eigenvalue, so w is taken off the threshold. For the adaptive methods
    P is :math:`\sqrt{\hat v} + \epsilon`, taken as fixed over the steps that an instability takes (it adapts
    more slowly, which is why training goes on), and the bias correction of the first moment as past.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adam, AdamW or RMSprop; nothing of it is changed.

    Raises
    ------
    ValueError
        For other optimisers, ``maximize``, a learning rate that is not positive, a momentum or dampening
        outside [0, 1), Adam's and RMSprop's ``weight_decay`` (which is divided by P, so no one number holds),
        or parameter groups whose thresholds differ.

    Notes
    -----
    Sources: Cohen et al., "Gradient descent on neural networks typically occurs at the edge of stability",
    arXiv 2103.00065, and "Adaptive gradient methods at the edge of stability", arXiv 2207.14484. Dampening,
    weight decay and RMSprop's momentum: derived here. All are tested against the matrices and by running the
    optimisers.
    """
    rule = next((rule for kind, rule in _RULES.items() if isinstance(optimizer, kind)), None)
    if rule is None:
        raise ValueError(
            f"the threshold of {type(optimizer).__name__} is not known: use SGD, Adam, AdamW or RMSprop"
        )
    found = [rule(_checked(group)) for group in optimizer.param_groups]
    values = [each.value for each in found]
    if max(values) - min(values) > 1e-9 * abs(max(values)):
        words = ", ".join(f"{value:.6g}" for value in values)
        raise ValueError(f"the parameter groups have different thresholds ({words}): there is no one for all")
    return found[0]


def _checked(group: dict[str, Any]) -> dict[str, Any]:
    rate = float(group["lr"])
    if not 0 < rate < math.inf:
        raise ValueError(f"lr={rate} is out of range: it must be positive and finite")
    if group.get("maximize"):
        raise ValueError("maximize=True goes uphill, where no curvature is stable")
    momentum = group["betas"][0] if "betas" in group else group["momentum"]
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum={float(momentum)} is out of range: it must be at least 0 and below 1")
    dampening = group.get("dampening", 0)
    if not 0 <= dampening < 1:
        raise ValueError(f"dampening={dampening} is out of range: it must be at least 0 and below 1")
    return {**group, "lr": rate}


def _sgd(group: dict[str, Any]) -> Threshold:
    rate, beta, decay = group["lr"], group["momentum"], group["weight_decay"]
    rule = "2/η"
    value = 2 / rate
    if beta and group["nesterov"]:
        rule, value = "(2 + 2β)/(η(1 + 2β))", (2 + 2 * beta) / (rate * (1 + 2 * beta))
    elif beta:
        rule, value = "(2 + 2β)/η", (2 + 2 * beta) / rate
        if group["dampening"]:
            rule, value = "(2 + 2β)/(η(1 − d))", value / (1 - group["dampening"])
    return Threshold(value - decay, False, rule + (" − w" if decay else ""))


def _adam(group: dict[str, Any]) -> Threshold:
    if group["weight_decay"] and not group.get("decoupled_weight_decay"):
        _refuse_decay("Adam", group["weight_decay"])
    return _adamw(group)


def _adamw(group: dict[str, Any]) -> Threshold:
    rate, beta, decay = group["lr"], float(group["betas"][0]), group["weight_decay"]
    value = (1 + beta) * (2 - rate * decay) / (rate * (1 - beta))
    rule = "(1 + β₁)(2 − ηw)/(η(1 − β₁))" if decay else "(2 + 2β₁)/(η(1 − β₁))"
    return Threshold(value, True, rule)


def _rmsprop(group: dict[str, Any]) -> Threshold:
    rate, beta = group["lr"], group["momentum"]
    if group["weight_decay"]:
        _refuse_decay("RMSprop", group["weight_decay"])
    return Threshold((2 + 2 * beta) / rate, True, "(2 + 2β)/η" if beta else "2/η")


def _refuse_decay(name: str, decay: float) -> None:
    raise ValueError(
        f"{name} divides weight_decay={decay} by the scale of each parameter, so no one threshold holds: "
        "use AdamW, or no decay"
    )


_RULES: dict[type[Optimizer], Callable[[dict[str, Any]], Threshold]] = {
    SGD: _sgd,
    AdamW: _adamw,  # before Adam, of which it is a kind
    Adam: _adam,
    RMSprop: _rmsprop,
}
