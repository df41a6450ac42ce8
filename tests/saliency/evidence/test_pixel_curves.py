"""Insertion and deletion against loops, closed forms of a linear model, and scipy's blur."""

import numpy as np
import pytest
import torch
from evidence_cases import images, input_gradient, linear, network
from torch import Tensor

from workbench.saliency.baselines import baseline_inputs
from workbench.saliency.evidence import deletion, insertion
from workbench.saliency.evidence.pixel_curves import pixel_ranks

X, Y = images(4), torch.tensor([0, 1, 2, 1])


def brute_force(metric: str, maps: Tensor, steps: int, baseline: Tensor) -> np.ndarray:
    """Curves by replacing pixel after pixel in a copy."""
    model, curves = network(), []
    for x, y, m, b in zip(X, Y, maps, baseline, strict=True):
        order = sorted(range(m.numel()), key=lambda i: (-m.flatten()[i].item(), i))
        now, end = (x.clone(), b) if metric == "deletion" else (b.clone(), x)
        curve, replaced = [], 0
        for count in np.round(np.linspace(0, m.numel(), steps + 1)).astype(int):
            for pixel in order[replaced:count]:
                row, column = divmod(pixel, m.shape[1])
                now[:, row, column] = end[:, row, column]
            replaced = count
            curve.append(model(now[None]).softmax(1)[0, y].item())
        curves.append(curve)
    return np.array(curves)


@pytest.mark.parametrize(("metric", "function"), [("deletion", deletion), ("insertion", insertion)])
@pytest.mark.parametrize("baseline", ["zero", "mean", "blur"])
@pytest.mark.parametrize("steps", [7, 30])
def test_curves_and_areas_are_those_of_a_loop(
    metric: str, function: object, baseline: str, steps: int
) -> None:
    maps = images(4, channels=1, seed=3)[:, 0].round(decimals=0)  # many equal values
    found = function(network(), X, Y, maps, steps=steps, baseline=baseline, memory=9000)  # type: ignore[operator]
    expected = brute_force(metric, maps, steps, baseline_inputs(X, baseline))
    np.testing.assert_allclose(found.curves, expected, rtol=1e-11)
    shares = np.round(np.linspace(0, 30, steps + 1)) / 30
    areas = ((expected[:, 1:] + expected[:, :-1]) / 2 * np.diff(shares)).sum(1)
    np.testing.assert_allclose(found.values, areas, rtol=1e-11)
    assert found.inputs_evaluated == 4 * (steps + 1)


def linear_area(order: Tensor, *, inserted: bool) -> np.ndarray:
    """Area of a linear model's logit: each pixel's contribution counts while it is there."""
    model = linear()
    parts = (input_gradient(model, X, Y) * X).sum(1).flatten(1).gather(1, order)
    before = (torch.arange(30).double() + 0.5) / 30  # the share of the axis before the turn of each pixel
    return (model[1].bias[Y] + parts @ (1 - before if inserted else before)).detach().numpy()


def test_areas_of_a_linear_model_have_a_closed_form() -> None:
    maps = images(4, channels=1, seed=3)[:, 0]
    order = maps.flatten(1).argsort(1, descending=True)
    found = deletion(linear(), X, Y, maps, score="logit")
    np.testing.assert_allclose(found.values, linear_area(order, inserted=False), rtol=1e-11)
    found = insertion(linear(), X, Y, maps, score="logit", baseline="zero")
    np.testing.assert_allclose(found.values, linear_area(order, inserted=True), rtol=1e-11)


def test_the_contributions_themselves_are_the_best_order_for_a_linear_model() -> None:
    model = linear()
    best = (input_gradient(model, X, Y) * X).sum(1)
    least = deletion(model, X, Y, best, score="logit").values
    for seed in range(5):
        other = deletion(model, X, Y, images(4, 1, seed=seed)[:, 0], score="logit").values
        assert (least < other).all()


def test_a_baseline_may_be_given_and_must_fit() -> None:
    maps = images(4, channels=1, seed=3)[:, 0]
    given = deletion(network(), X, Y, maps, baseline=torch.zeros(2, 1, 1))
    np.testing.assert_array_equal(given.curves, deletion(network(), X, Y, maps).curves)
    with pytest.raises(ValueError, match="does not broadcast"):
        deletion(network(), X, Y, maps, baseline=torch.zeros(3, 1, 1))
    with pytest.raises(ValueError, match="did you mean 'zero'"):
        deletion(network(), X, Y, maps, baseline="zeros")


def test_a_constant_map_is_undefined_and_left_out() -> None:
    maps = images(4, channels=1, seed=3)[:, 0]
    whole = deletion(network(), X, Y, maps)
    maps[1] = 3.0
    found = deletion(network(), X, Y, maps)
    assert (found.n, found.undefined) == (3, 1)
    assert np.isnan(found.values[1])
    assert found.mean == pytest.approx(whole.values[[0, 2, 3]].mean())


def test_ranks_of_equal_values_follow_reading_order() -> None:
    maps = torch.tensor([[[1.0, 2.0], [2.0, 1.0]]])
    assert pixel_ranks(maps).tolist() == [[[2, 0], [1, 3]]]
    with pytest.raises(ValueError, match="as the inputs"):
        deletion(network(), X, Y, maps)


def test_steps_that_change_nothing_are_not_evaluated_again() -> None:
    x, maps = X.clone(), images(4, channels=1, seed=3)[:, 0]
    x[:, :, :, 3:] = 0  # 12 of 30 pixels are what they would be replaced by
    for function in (deletion, insertion):
        found = function(network(), x, Y, maps, baseline="zero")
        given = function(network(), x, Y, maps, baseline=1e-300 * torch.ones_like(x))  # all of them change
        np.testing.assert_allclose(found.curves, given.curves, rtol=1e-12)
        assert (found.inputs_evaluated, given.inputs_evaluated) == (4 * 19, 4 * 31)
