"""The probe of symmetry: what it refuses, and what is rounding."""

from functools import partial
from typing import Any

import pytest
import torch
from curvature_cases import build
from torch import nn

import workbench as wb
from workbench.curvature.operators import Hessian


def skewed(product: Any, *args: Any, **keywords: Any) -> Any:
    parts = product(*args, **keywords)
    return [parts[0] * 1.01, *parts[1:]]


class Skewed(Hessian):
    """Rows of the first parameter one percent too large."""

    def _batch_product(self, *args: Any) -> Any:
        return partial(skewed, super()._batch_product(*args))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_asymmetric_matrix_is_refused_with_both_numbers(dtype: torch.dtype) -> None:
    problem = build("mlp").problem().to(dtype=dtype)
    vector = torch.ones(problem.num_parameters, dtype=dtype)
    with pytest.raises(ValueError, match=r"u·Av = \S+, but v·Au = \S+, which differ by"):
        Skewed(problem) @ vector
    Skewed(problem, check=False) @ vector


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_rounding_at_a_loss_near_zero_is_not_taken_for_asymmetry(make: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    x, y = torch.randn(40, 4).double(), torch.randint(0, 3, (40,))
    with torch.no_grad():
        y = model(x).argmax(dim=1)
        model[2].weight.mul_(150)
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (x, y))
    truth = make(problem) @ torch.ones(problem.num_parameters, dtype=torch.float64)
    single = problem.to(dtype=torch.float32)
    product = make(single) @ torch.ones(problem.num_parameters)
    assert (product - truth).norm() < 1e-2 * truth.norm()
