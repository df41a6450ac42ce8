"""Maps that cannot depend on the class: found where they are so, and nowhere else."""

import pytest
import torch
from saliency_cases import CLASSES, images, network
from torch import nn

from workbench.saliency import METHODS, explain
from workbench.saliency.blindness import alike_maps, spatially_constant

EVERY = [[*range(CLASSES)]] * 3
METHODS_ANYWHERE = [
    name for name, m in METHODS.items() if m.rule == "true" and m.extract != "real" and m.gradient != "sum"
]


@pytest.mark.parametrize("layer", ["first", "second"])
@pytest.mark.parametrize("seed", [0, 5])
def test_a_map_is_called_blind_exactly_where_all_classes_give_the_same(layer: str, seed: int) -> None:
    found = explain(network(seed), images(), EVERY, METHODS_ANYWHERE, layer)
    for entry in found.maps:
        flat = entry.raw.flatten(2)
        directions = flat / flat.norm(dim=2, keepdim=True)
        alike = (directions - directions[:, :1]).abs().amax().item() < 1e-9
        assert entry.class_blind == alike, entry.method
        assert bool(entry.reason) == alike
    blind = {entry.method for entry in found.maps if entry.class_blind}
    assert blind == ({"gradient", "gradient_norm", "norm_grad"} if layer == "second" else set())


def test_every_pair_of_the_grid_is_judged_by_its_maps() -> None:
    pairs = [(extract, aggregate) for extract in ("bias", "scaling", "conv1x1", "conv3x3", "depthwise3x3")
             for aggregate in ("norm", "positive_norm", "sum", "max", "abs_max")]  # fmt: skip
    found = explain(network(), images(), EVERY, pairs, "second")
    for entry in found.maps:
        flat = entry.raw.flatten(2)
        likeness = nn.functional.cosine_similarity(flat, flat[:, :1], dim=2).abs()
        assert entry.class_blind == bool((likeness > 1 - 1e-9).all()), entry.method


def test_the_own_convolution_is_judged_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model = model.double().eval()
    method = "norm_grad_without_virtual_layer"
    last, first = (explain(model, images(), 0, method, layer).maps[0] for layer in ("2", "0"))
    assert last.class_blind
    assert not first.class_blind


def test_the_reason_tells_a_constant_map_from_one_of_the_activation() -> None:
    found = explain(network(), images(), 0, ["gradient", "norm_grad"], "second")
    assert "constant too" in found.select("gradient", "second").reason
    assert "shows the activation" in found.select("norm_grad", "second").reason
    assert "CLASS-BLIND: gradient at second, norm_grad at second" in found.summary()
    assert "shows the activation" in found.select("norm_grad", "second").summary()


def test_other_scores_change_nothing_of_it() -> None:
    for score in ("probability", "loss"):
        found = explain(network(), images(), 0, ["norm_grad", "grad_cam"], "second", score)
        assert [entry.class_blind for entry in found.maps] == [True, False]


def test_inputs_whose_score_is_saturated_change_nothing_of_it() -> None:
    model, inputs = network(), images()
    inputs[1] *= 1e6
    found = explain(model, inputs, None, ["norm_grad", "grad_cam"], "second", "probability")
    assert [entry.zeros for entry in found.maps] == [1, 1]
    assert [entry.class_blind for entry in found.maps] == [True, False]
    assert "ZERO everywhere: 1 of 3 of norm_grad at second" in found.summary()


def test_a_flat_gradient_is_one_over_all_space() -> None:
    g = torch.ones(2, 3, 4, 4)
    assert spatially_constant(g)
    assert spatially_constant(torch.zeros(2, 3, 4, 4))
    assert spatially_constant(g * torch.tensor([1.0, 0.0])[:, None, None, None])
    assert spatially_constant(g + 1e-6 * torch.rand(2, 3, 4, 4))
    for place in ((0, 0, 0, 0), (1, 2, 2, 1), (0, 1, 3, 3)):
        other = g.clone()
        other[place] = 2
        assert not spatially_constant(other)


class _MeanAndCorner(nn.Module):
    """The first logits are means over space, the last one is read at a corner."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), x[:, :1, 0, 0]], dim=1)


@pytest.mark.parametrize("targets", [[0, 1], [0, 4], [4, 0]])
def test_one_class_whose_gradient_varies_over_space_acquits(targets: list[int]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), _MeanAndCorner()).double().eval()
    found = explain(model, images(), [targets] * 3, ["gradient", "norm_grad"], "1")
    assert [entry.class_blind for entry in found.maps] == [4 not in targets] * 2


def test_a_network_that_ends_in_a_linear_layer_of_all_places_is_not_blind() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 5)
    ).double()
    found = explain(model.eval(), images(), 0, METHODS_ANYWHERE, "1")
    assert not any(entry.class_blind for entry in found.maps)


@pytest.mark.parametrize("score", ["probability", "loss"])
def test_of_two_classes_maps_without_a_sign_are_the_same_for_both(score: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    model = model.double().eval()
    found = explain(model, images(), [[0, 1]] * 3, ["gradient", "norm_grad", "hires_cam"], "1", score)
    for entry in found.maps:
        first, second = entry.raw.flatten(2).unbind(1)
        alike = torch.cosine_similarity(first, second) > 1 - 1e-9
        assert entry.class_blind == bool(alike.all()), entry.method
    assert [entry.class_blind for entry in found.maps] == [True, True, False]
    assert "two classes" in found.maps[0].reason
    assert not any(entry.class_blind for entry in explain(model, images(), 0, "gradient", "1").maps)


def test_maps_are_alike_whatever_their_size_and_sign_but_not_beside_none() -> None:
    others = torch.rand(1, 1, 4, 4)
    one, none = others[:, :, None], torch.zeros(1, 1, 1, 4, 4)
    assert alike_maps(-1e-12 * one, others) == [True]
    assert alike_maps(none, others) == [True]
    assert alike_maps(one, torch.zeros_like(others)) == [False]
    assert alike_maps(one.flip(3), others) == [False]
