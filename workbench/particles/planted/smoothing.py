r"""``smoothed_ascent``: ascent on the landscape that averaging is said to imitate.

The smoothed energy is the mean of :math:`E((\theta + \lambda z)/\sqrt{1+\lambda^2})` over z uniform on the
unit sphere of the tangent space, as Damian, Nichani, Ge and Lee have it ("Smoothing the landscape boosts
the signal for SGD", arXiv:2305.10633, where :math:`\lambda = d^{1/4}`; quoted from memory). For a symmetric
tensor of order 3 it is in closed form, with :math:`a = 3\lambda^2/(d-1)` and the partial trace
:math:`t_i = \sum_j T_{ijj}`:

.. math:: -(1+\lambda^2)^{-3/2}\,\bigl[(1 - a)\, T(\theta,\theta,\theta) + a\, t\cdot\theta\bigr]

which is derived here. Wide smoothing leaves the partial trace alone.
"""

import math

from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.particles.planted.ascent import ascend
from workbench.particles.planted.model import trace_constant
from workbench.particles.planted.sphere import normalise
from workbench.particles.planted.tensors import TensorModel


def smoothed_ascent(
    model: TensorModel, start: Tensor, *, width: float | None = None, steps: int = 100
) -> Tensor:
    r"""Follow the force of the smoothed landscape, then that of the landscape itself.

    Parameters
    ----------
    model : TensorModel
        Of order 3.
    start : Tensor (runs, sizes, dim)
        Unit vectors.
    width : float, optional
        :math:`\lambda`; by default :math:`d^{1/4}`.
    steps : int
        On each of the two landscapes; each is one force.

    Returns
    -------
    Tensor (runs, sizes, dim)

    Raises
    ------
    TypeError, ValueError
        If the model is no tensor of order 3, or a number is out of range.
    """
    if not isinstance(model, TensorModel):
        raise TypeError(f"model is a {type(model).__name__}: a smoothed landscape is known of tensors only")
    if model.order != 3:
        raise ValueError(f"order={model.order}: a smoothed landscape is known of order 3 only")
    width = model.dim**0.25 if width is None else width
    check_number("width", width, low=0, below=math.inf)
    check_count("steps", steps)
    theta = start
    for _ in range(steps):
        theta = normalise(theta + normalise(smoothed_force(model, theta, width)))
    return ascend(model, theta, steps=steps)


def smoothed_force(model: TensorModel, theta: Tensor, width: float) -> Tensor:
    """Minus the gradient (runs, sizes, dim) of the smoothed energy without its constant in front."""
    a = 3 * width**2 / (model.dim - 1)
    return (1 - a) * model.force(theta) + a * model.field() / trace_constant(3, model.dim)
