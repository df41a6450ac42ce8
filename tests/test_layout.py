"""Parameters are grouped by the layer that holds them."""

import pytest
from torch import nn

from workbench.layout import group_by_layer, lay_out, layers_of


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (["a.weight", "a.bias", "b.0.weight"], {"a": ["a.weight", "a.bias"], "b.0": ["b.0.weight"]}),
        (["positions", "a.weight"], {"positions": ["positions"], "a": ["a.weight"]}),
        (["weight", "bias"], {"weight, bias": ["weight", "bias"]}),
        (["weight"], {"weight": ["weight"]}),
        (["scale", "weight", "bias", "weight.bias"], {
            "scale": ["scale"], "weight, bias": ["weight", "bias"], "weight": ["weight.bias"],
        }),
    ],
)  # fmt: skip
def test_layers(names: list[str], layers: dict[str, list[str]]) -> None:
    assert group_by_layer(names) == layers


def test_a_bare_layer_is_one_layer() -> None:
    layout = lay_out(dict(nn.Linear(3, 2).named_parameters()))
    assert layers_of(layout) == {"weight, bias": ["weight", "bias"]}
