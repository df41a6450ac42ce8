"""Class sensitivity against a loop, and its value where it is known."""

import numpy as np
import pytest
import torch
from evidence_cases import Interrupted, gradient_map, images, linear, network
from torch import Tensor, nn

import workbench as wb
from workbench.problems.datasets import digits
from workbench.saliency import explainer
from workbench.saliency.evidence import centre_map, class_sensitivity


def test_it_is_the_correlation_of_two_maps_of_each_input() -> None:
    model, x = network(), images(7)
    found = class_sensitivity(model, x, gradient_map, memory=9000)
    for i in range(7):
        logits = model(x[i : i + 1])[0]
        pair = [
            gradient_map(model, x[i : i + 1], k[None]).flatten() for k in (logits.argmax(), logits.argmin())
        ]
        expected = np.corrcoef(*(each.numpy() for each in pair))[0, 1]
        assert found.values[i] == pytest.approx(expected, rel=1e-10)
    assert (found.maps_made, found.inputs_evaluated) == (14, 14)
    assert found.better == "lower"


def test_a_map_that_ignores_the_class_has_1_and_opposite_weights_have_minus_1() -> None:
    assert class_sensitivity(network(), images(4), centre_map).values == pytest.approx(1)
    model = linear(classes=2)
    with torch.no_grad():
        model[1].weight[1] = -model[1].weight[0]
    assert class_sensitivity(model, images(4), gradient_map).values == pytest.approx(-1)


def test_constant_maps_are_counted_and_left_out() -> None:
    x = images(5)

    def flat_for_two(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient_map(model, inputs, targets)
        flat = (inputs[:, 0, 0, 0] == x[1, 0, 0, 0]) | (inputs[:, 0, 0, 0] == x[4, 0, 0, 0])
        return torch.where(flat[:, None, None], 7.0, maps)

    found = class_sensitivity(network(), x, flat_for_two)
    assert (found.n, found.undefined) == (3, 2)
    whole = class_sensitivity(network(), x, gradient_map)
    assert found.mean == pytest.approx(whole.values[[0, 2, 3]].mean())


def test_the_similarity_can_be_chosen_and_an_interrupt_keeps_what_is_done() -> None:
    ranks = class_sensitivity(network(), images(4), gradient_map, similarity="spearman")
    assert (ranks.values != class_sensitivity(network(), images(4), gradient_map).values).all()
    with pytest.raises(ValueError, match="similarity='kendall'"):
        class_sensitivity(network(), images(4), gradient_map, similarity="kendall")
    # One forward for the classes, one for the memory, then three for each input.
    found = class_sensitivity(Interrupted(network(), 2 + 7), images(4), gradient_map, memory=1)
    assert found.interrupted
    np.testing.assert_allclose(found.values, class_sensitivity(network(), images(4), gradient_map).values[:2])


def test_maps_at_the_last_convolution_before_a_mean_and_a_linear_layer_do_not_see_the_class() -> None:
    # The gradient is the same at all pixels there, and NormGrad the norm of the activation times a constant.
    problem = wb.load_problem("digits-cnn", epochs=1)
    inputs = digits().test[0][:32]
    gradient = class_sensitivity(problem.model, inputs, explainer("gradient", "block3"))
    assert (gradient.n, gradient.undefined) == (0, 32)
    assert np.isnan(gradient.mean)
    assert "32 UNDEFINED" in gradient.summary()
    blind = class_sensitivity(problem.model, inputs, explainer("norm_grad", "block3"))
    assert blind.values == pytest.approx(1, abs=1e-5)
    assert class_sensitivity(problem.model, inputs, explainer("grad_cam", "block3")).mean < 0.5


def test_a_single_logit_has_no_other_class() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    with pytest.raises(ValueError, match="a single logit"):
        class_sensitivity(model, torch.rand(2, 1, 3, 4), explainer("gradient", "input"))
