"""Several layers in one map: rules and weights by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from saliency_cases import images, network
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.saliency import Combination, SaliencyMaps, explain

LAYERS = ("stem", "first", "second")
METHODS = ["grad_cam", "linear_approximation", "layer_cam"]


def by_hand(found: SaliencyMaps, method: str, rule: str, weights: list[float]) -> Tensor:
    maps = []
    for layer in LAYERS:
        m = F.interpolate(found.select(method, layer).raw, (16, 16), mode="bilinear", align_corners=False)
        low, high = m.amin((2, 3), keepdim=True), m.amax((2, 3), keepdim=True)
        maps.append(torch.where(high > low, (m - low) / (high - low), torch.ones_like(m)))
    total = sum(weights)
    if rule == "sum":
        return sum(w / total * m for w, m in zip(weights, maps, strict=True))
    return math.prod(m ** (w / total) for w, m in zip(weights, maps, strict=True))


@pytest.mark.parametrize("rule", ["sum", "product"])
@pytest.mark.parametrize(
    ("weights", "numbers", "name"),
    [
        ("uniform", [1, 1, 1], ""),
        ("linear", [1, 2, 3], ", linear weights"),
        ((0.5, 0.0, 2.0), [0.5, 0, 2], ", given weights"),
    ],
)
def test_combined_maps_are_what_they_are_by_hand(
    rule: str, weights: str | tuple[float, ...], numbers: list[float], name: str
) -> None:
    model, inputs = network(), images()
    found = explain(model, inputs, [[0, 1]] * 3, METHODS, LAYERS, combine=Combination(rule, weights))
    assert len(found.maps) == 12
    for method in METHODS:
        entry = found.select(method, rule + name)
        torch.testing.assert_close(entry.raw, by_hand(found, method, rule, numbers))
        assert torch.equal(entry.raw, entry.sized)
        assert f"{numbers[0] / sum(numbers):.3g} stem" in entry.formula


def test_a_word_stands_for_uniform_weights() -> None:
    model, inputs = network(), images()
    word = explain(model, inputs, 0, METHODS, LAYERS, combine="product")
    whole = explain(model, inputs, 0, METHODS, LAYERS, combine=Combination("product"))
    assert torch.equal(word.select("grad_cam", "product").raw, whole.select("grad_cam", "product").raw)


def test_class_sensitivity_weights_come_from_the_extreme_classes() -> None:
    model, inputs = network(), images(6)
    combination = Combination("sum", "class_sensitivity")
    found = explain(model, inputs, 1, METHODS, LAYERS, combine=combination)
    logits = model(inputs)
    extremes = torch.stack([logits.argmax(1), logits.argmin(1)], 1)
    apart = explain(model, inputs, extremes, METHODS, LAYERS)
    for method in METHODS:
        weights = []
        for layer in LAYERS:
            raw = apart.select(method, layer).raw
            with np.errstate(invalid="ignore"):
                r = np.array([np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in raw.detach().numpy()])
            r = r[np.isfinite(r)]
            weights.append(max(0.0, 1 - r.mean()) if len(r) else 0.0)
        entry = found.select(method, "sum, class_sensitivity weights")
        torch.testing.assert_close(entry.raw, by_hand(found, method, "sum", weights))
    assert found.targets.tolist() == [[1]] * 6
    assert found.scores.shape == (6, 1)
    assert all(each.raw.shape[1] == 1 for each in found.maps)
    assert found.backwards == 3  # those of the extreme classes are paid for, too


def test_class_sensitivity_of_maps_that_all_are_blind_is_refused() -> None:
    with pytest.raises(ValueError, match="class-sensitivity weights of 'norm_grad' are all 0"):
        explain(
            network(), images(), 0, "norm_grad", "second", combine=Combination(weights="class_sensitivity")
        )


def test_a_combination_is_blind_if_all_that_counts_in_it_is() -> None:
    model, inputs = network(), images()
    for weights, blind in (((0.0, 0.0, 1.0), True), ((0.0, 1.0, 1.0), False)):
        found = explain(model, inputs, 0, "norm_grad", LAYERS, combine=Combination("sum", weights))
        assert found.maps[-1].class_blind == blind


def test_a_constant_map_counts_as_one_in_a_product() -> None:
    model, inputs = network(), images()
    found = explain(model, inputs, 0, "gradient", ("first", "second"), combine="product")
    first = found.select("gradient", "first").sized
    low, high = first.amin((2, 3), keepdim=True), first.amax((2, 3), keepdim=True)
    torch.testing.assert_close(found.maps[-1].raw, ((first - low) / (high - low)).sqrt())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mean",), "rule='mean'"),
        (("sum", "uniforn"), "did you mean 'uniform'"),
        (("sum", (1.0, -1.0)), "not negative"),
        (("sum", (0.0, 0.0)), "not all 0"),
        (("sum", ()), "not all 0"),
        (("sum", (math.nan,)), "finite"),
    ],
)
def test_impossible_combinations_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Combination(*arguments)


def test_a_weight_for_each_layer() -> None:
    with pytest.raises(ValueError, match="2 weights for 3 layers"):
        explain(network(), images(), 0, METHODS, LAYERS, combine=Combination("sum", (1.0, 2.0)))
    with pytest.raises(TypeError, match="combine is a int"):
        explain(network(), images(), 0, METHODS, LAYERS, combine=3)  # type: ignore[arg-type]


def test_a_combination_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Combination().rule = "product"  # type: ignore[misc]


def test_a_layer_and_the_combination_may_not_have_one_name() -> None:
    model = nn.Sequential()
    model.add_module("sum", nn.Conv2d(3, 4, 3))
    model.add_module("flat", nn.Flatten())
    with pytest.raises(ValueError, match="layer 'sum' has the name of the combination"):
        explain(model.double().eval(), images(), 0, "gradient", ["input", "sum"], combine="sum")


def test_weights_of_a_saturated_probability_are_refused_for_what_they_are() -> None:
    model = network()
    model.head.weight.data.mul_(1e6)
    with pytest.raises(ValueError, match="maps of the most and the least likely class that differ"):
        explain(model, images(), None, "gradient", ["stem", "first"], "probability",
                Combination("sum", "class_sensitivity"))  # fmt: skip
