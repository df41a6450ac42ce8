"""``PreconditionedSharpness``: the largest eigenvalue of the Hessian as Adam sees it."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW

from workbench.curvature import CurvatureOperator
from workbench.moment import Moment, Readings, innermost
from workbench.problem import Problem
from workbench.stability.quantities.curvature_of import (
    PRODUCT,
    PRODUCTS,
    TopEigenvalue,
    check_hessian,
    loss_hessian,
)
from workbench.stability.quantities.layers import Layered, count_layers, layer_parts, layer_problems


class PreconditionedSharpness(Layered):
    r"""The largest eigenvalue of the Hessian as Adam's preconditioner rescales it, with its residual norm.

    It is that of :math:`P^{-1/2} H P^{-1/2}`. Adam's step t is :math:`-\eta\, P_t^{-1} m_t` with its first
    moment m, its bias uncorrected, and

    .. math:: P_t = (1 - \beta_1^t)\,\mathrm{diag}\bigl(\sqrt{v_t / (1 - \beta_2^t)} + \varepsilon\bigr),

    so both corrections are in P. It is that of the step recorded, which holds the gradient where it began;
    with ``amsgrad``, v is its maximum. A parameter that had no gradient yet is left out. To be held
    against :math:`(2 + 2\beta_1) / ((1 - \beta_1)\eta)`. About 13 products, each two gradients.

    Source: Cohen et al. 2022, "Adaptive gradient methods at the edge of stability" (arXiv 2207.14484); the
    form of P derived here from Adam's step.

    Parameters
    ----------
    by_layer : bool
        That of each layer's diagonal block instead, at as many products for each; none exceeds that of the
        whole.
    tol : float
        Residual norm at most, relative to the eigenvalue.
    seed : int
        Of the start vectors.
    """

    name, cost = "preconditioned_sharpness", PRODUCT * PRODUCTS

    def __init__(self, by_layer: bool = False, *, tol: float = 1e-2, seed: int = 0) -> None:
        super().__init__(by_layer)
        self.tol, self.seed = tol, seed

    def prepare(self, problem: Problem, optimizer: Any) -> None:
        """Refuse what is not Adam or AdamW, wrapped or not, and a loss without second derivatives."""
        inner = innermost(optimizer)
        if not isinstance(inner, Adam | AdamW):
            kind = type(inner).__name__
            raise ValueError(f"{self.name} is Adam's: {kind} is neither Adam nor AdamW; use 'sharpness'")
        check_hessian(problem)
        if self.by_layer:
            self.cost = PRODUCT * PRODUCTS * count_layers(problem)
        self._search = TopEigenvalue(self.tol, self.seed)

    def measure(self, moment: Moment) -> Readings:
        """Return the eigenvalue with its residual norm."""
        scales = adam_preconditioner(moment).rsqrt()
        if not self.by_layer:
            return self._search.find(Rescaled(moment.shared(loss_hessian), scales))
        parts = layer_parts(moment.problem, scales)
        return {
            layer: self._search.find(Rescaled(loss_hessian(part), parts[layer]), layer)
            for layer, part in layer_problems(moment.problem).items()
        }


def adam_preconditioner(moment: Moment) -> Tensor:
    """Diagonal (n,) of Adam's preconditioner in float64; inf where a parameter was never updated."""
    groups = {id(p): group for group in moment.optimizer.param_groups for p in group["params"]}
    pieces = []
    for parameter in moment.parameters().values():
        state = moment.optimizer.state.get(parameter)
        if not state:
            pieces.append(torch.full((parameter.numel(),), torch.inf, dtype=torch.float64))
            continue
        group = groups[id(parameter)]
        (first, second), step = group["betas"], float(state["step"])
        squares = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"].detach().double().cpu()
        scale = (squares / (1 - second**step)).sqrt() + group["eps"]
        pieces.append(((1 - first**step) * scale).flatten())
    return torch.cat(pieces)


class Rescaled(CurvatureOperator):
    """S A S for a diagonal matrix S.

    Parameters
    ----------
    operator : CurvatureOperator
        A (n × n).
    scales : Tensor (n,)
        Diagonal of S.
    """

    def __init__(self, operator: CurvatureOperator, scales: Tensor) -> None:
        super().__init__(
            operator.shape[0],
            operator.dtype,
            operator.device,
            precision=operator.precision,
            layout=operator.layout,
            terms=f"{operator.terms}, rescaled",
        )
        self._operator = operator
        self._scales = scales.to(device=operator.device, dtype=operator.dtype)[:, None]

    def _multiply(self, block: Tensor) -> Tensor:
        return self._scales * (self._operator @ (self._scales * block))
