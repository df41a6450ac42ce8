"""A probe of products against their transpose."""

from typing import TYPE_CHECKING

import torch

from workbench.batches import Batch
from workbench.curvature.operators.exact_copy import NoFloat64, in_float64
from workbench.random_vectors import generator, random_vectors

if TYPE_CHECKING:
    from workbench.curvature.operators.problem_operator import ProblemOperator

# What rounding explains, relative to |Av||u|. Where small curvatures are differences of large numbers, as at
# a loss near zero, it explains more: so the coarser dtypes get a second opinion in float64.
_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-5}
_COARSE = 1e-2  # bfloat16, float16, autocast: 2e-3 was seen where nothing is wrong
_SECOND_OPINION = 1e-5


def check_symmetry(operator: "ProblemOperator", batch: Batch) -> None:
    r"""Hold :math:`\langle u, Av\rangle` against :math:`\langle v, Au\rangle` for random u and v.

    Cost: two products with one small batch; two more in float64 if they differ.

    Raises
    ------
    ValueError
        If they differ by more than rounding, relative to :math:`\|Av\| \|u\|`, in float64, too.
    """
    there, back, difference = _measure(operator, batch)
    coarse = torch.is_autocast_enabled(operator.device.type)
    tolerance = _COARSE if coarse else _TOLERANCES.get(operator.problem.coarsest_dtype, _COARSE)
    if difference <= tolerance or _is_symmetric_in_float64(operator, batch):
        return
    raise ValueError(
        f"the products are not those of a symmetric matrix: u·Av = {there:.10g}, but v·Au = {back:.10g}, "
        f"which differ by {difference:.1e} of |Av||u|. A custom backward is wrong, or the model does not "
        "compute one and the same function each time"
    )


def _measure(operator: "ProblemOperator", batch: Batch) -> tuple[float, float, float]:
    """Return u·Av, v·Au and their relative difference."""
    u, v = random_vectors(2, operator.shape[0], generator(0)).to(device=operator.device, dtype=operator.dtype)
    image_of_u, image_of_v = (operator.batch_column(batch, w).double() for w in (u, v))
    there, back = (u.double() @ image_of_v).item(), (v.double() @ image_of_u).item()
    scale = image_of_v.norm().item() * u.double().norm().item()
    return there, back, abs(there - back) / scale if scale else 0.0


def _is_symmetric_in_float64(operator: "ProblemOperator", batch: Batch) -> bool:
    if operator.problem.coarsest_dtype == torch.float64:
        return False
    try:
        return in_float64(operator, batch, _measure)[2] <= _SECOND_OPINION
    except NoFloat64:
        return False
