"""A probe of products against their transpose."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.batches import Batch
from workbench.random_vectors import generator, random_vectors

if TYPE_CHECKING:
    from workbench.curvature.operators.problem_operator import ProblemOperator

_TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
_COARSE = 1e-2  # bfloat16, float16, autocast: 2e-3 was seen where nothing is wrong


def check_symmetry(operator: "ProblemOperator", batch: Batch) -> None:
    r"""Hold :math:`\langle u, Av\rangle` against :math:`\langle v, Au\rangle` for random u and v.

    Cost: two products with one small batch.

    Raises
    ------
    ValueError
        If they differ by more than rounding, relative to :math:`\|Av\| \|u\|`.
    """
    u, v = random_vectors(2, operator.shape[0], generator(0)).to(device=operator.device, dtype=operator.dtype)
    image_of_u, image_of_v = (operator.batch_column(batch, w).double() for w in (u, v))
    there, back = u.double() @ image_of_v, v.double() @ image_of_u
    scale = _norm(image_of_v) * _norm(u)
    coarse = torch.is_autocast_enabled(operator.device.type)
    tolerance = _COARSE if coarse else _TOLERANCES.get(operator.problem.coarsest_dtype, _COARSE)
    if scale and abs(there - back).item() > tolerance * scale:
        raise ValueError(
            f"the products are not those of a symmetric matrix: u·Av = {there.item():.10g}, but v·Au = "
            f"{back.item():.10g}, which differ by {abs(there - back).item() / scale:.1e} of |Av||u|. A "
            "custom backward is wrong, or the model does not compute one and the same function each time"
        )


def _norm(vector: Tensor) -> float:
    return torch.linalg.vector_norm(vector, dtype=torch.float64).item()
