"""Step scales: each length against its definition on a problem small enough to write out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.stability import StepScales, step_scales
from workbench.stability.scales import radii_along


def make(dtype: torch.dtype = torch.float64) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
    data = (torch.randn(12, 4, dtype=dtype), torch.randint(3, (12,)))
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), data)


def central(problem: wb.Problem, unit: Tensor, order: int, h: float = 1e-4) -> float:
    """First or second derivative of the loss along a line."""
    theta = problem.parameters_vector()
    low, middle, high = (problem.loss_at(theta + step * unit) for step in (-h, 0.0, h))
    return (high - low) / (2 * h) if order == 1 else (high - 2 * middle + low) / h**2


def test_slope_and_curvature_are_the_derivatives_of_the_loss() -> None:
    problem = make()
    direction = torch.randn(problem.num_parameters, dtype=torch.float64)
    scales = step_scales(problem, direction)
    unit = direction / direction.norm()
    assert scales.step == pytest.approx(float(direction.norm()))
    assert scales.slope == pytest.approx(central(problem, unit, 1), rel=1e-6)
    assert scales.curvature == pytest.approx(central(problem, unit, 2), rel=1e-5)


def test_the_quadratic_is_back_at_its_start() -> None:
    scales = step_scales(make(), "gradient")
    assert scales.curvature > 0
    t = -scales.back  # down the gradient
    assert scales.slope * t + scales.curvature / 2 * t**2 == pytest.approx(0, abs=1e-12)


def test_radii_of_the_last_layer_are_the_closed_form_for_two_classes() -> None:
    """Along the last bias of a network with two outputs the logits are linear: sqrt(δ² + π²) / Δ."""
    torch.manual_seed(1)
    model = nn.Linear(3, 2).double()
    inputs = torch.randn(9, 3, dtype=torch.float64)
    problem = wb.Problem(model.eval(), nn.CrossEntropyLoss(), (inputs, torch.randint(2, (9,))))
    unit = torch.zeros(8, dtype=torch.float64)
    unit[6:] = torch.tensor([0.6, -0.8])
    radii = radii_along(problem, unit)
    with torch.no_grad():
        margins = model(inputs).diff(dim=1)
    assert radii.spread == pytest.approx(math.pi / 1.4)
    expected = float(torch.hypot(margins, torch.tensor(math.pi)).min()) / 1.4
    assert radii.majority == pytest.approx(expected)
    assert radii.exact == pytest.approx(expected)
    assert radii.certified


@pytest.mark.parametrize("rate", [0.1, 0.7])
def test_clipping_bounds_the_step_of_gradient_descent_and_not_that_of_adam(rate: float) -> None:
    problem = make()
    norm = float(problem.gradient().norm())
    before = problem.parameters_vector()
    descent = step_scales(problem, torch.optim.SGD(problem.model.parameters(), lr=rate), clip=norm / 2)
    assert descent.step == pytest.approx(rate * norm)
    assert descent.clipped == pytest.approx(rate * norm / 2, rel=1e-5)
    adam = step_scales(problem, torch.optim.Adam(problem.model.parameters(), lr=rate), clip=norm / 2)
    assert adam.clipped == pytest.approx(adam.step, rel=1e-4)
    assert torch.equal(problem.parameters_vector(), before)
    assert all(parameter.grad is None for parameter in problem.model.parameters())


def test_other_directions_have_no_clipped_step() -> None:
    assert math.isnan(step_scales(make(), "random", seed=3).clipped)


def test_a_line_that_does_not_curve_up_has_no_quadratic_scale() -> None:
    scales = step_scales(make(), "gradient").replace(curvature=-1.0)
    assert scales.inverse_curvature == scales.back == math.inf
    scales.plot()


def test_the_scales_are_a_result(tmp_path) -> None:  # type: ignore[no-untyped-def]
    problem = make()
    scales = step_scales(problem, torch.optim.SGD(problem.model.parameters(), lr=0.1))
    again = wb.load_result(scales.save(tmp_path / "scales.npz"))
    assert isinstance(again, StepScales)
    assert again == scales
    frame = scales.frame().set_index("name")
    assert frame.loc["exact", "step_over_it"] == pytest.approx(scales.step / scales.exact)
    assert len(scales.plot().get_yticks()) == len(frame)
    assert np.isfinite(frame["length"]).all()


def test_a_bad_clip_is_refused() -> None:
    with pytest.raises(ValueError, match=r"clip=0 is out of range"):
        step_scales(make(), "gradient", clip=0)


def test_a_confident_example_has_a_small_curvature_and_a_near_ghost() -> None:
    """One logit of 10 along its bias: 1/f'' = 1/(σ(1 − σ)) is 22,028, the radius √(10² + π²)."""
    model = nn.Linear(1, 1).double()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.fill_(10.0)
    data = (torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))
    problem = wb.Problem(model.eval(), nn.BCEWithLogitsLoss(), data).restrict("bias")
    scales = step_scales(problem, torch.ones(1, dtype=torch.float64))
    assert 1 / scales.curvature == pytest.approx(22028.5, abs=0.1)
    assert scales.exact == pytest.approx(10.482, abs=1e-3)
    assert scales.exact == pytest.approx(math.hypot(10, math.pi), rel=1e-12)
