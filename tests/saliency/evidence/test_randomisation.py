"""Randomised weights: what is random at each stage, the fixed target, and a model that is never touched."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from evidence_cases import gradient_map, images, linear, network
from torch import Tensor, nn

import workbench as wb
from workbench.problems.datasets import digits
from workbench.saliency import explainer
from workbench.saliency.evidence import (
    Randomisation,
    cascading_randomisation,
    centre_map,
    compare_maps,
    independent_randomisation,
)

X = images(6)
LAYERS = ["7", "3", "1", "0"]  # the network's, from output to input


class Watching:
    """A map function that remembers the models and targets that it was asked about."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.targets: list[Tensor] = []

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        self.states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        self.targets.append(targets)
        return gradient_map(model, inputs, targets)


def changed(state: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {
        name.partition(".")[0] for name, tensor in model.state_dict().items() if not tensor.equal(state[name])
    }


@pytest.mark.parametrize("kind", ["cascading", "independent"])
def test_each_stage_has_the_layers_random_that_it_says_and_the_model_is_not_touched(kind: str) -> None:
    model, watching = network(), Watching()
    nn.init.normal_(model[1].weight)  # another state than that of a new normalisation
    before = copy.deepcopy(model.state_dict())
    function = cascading_randomisation if kind == "cascading" else independent_randomisation
    found = function(model, X, None, watching, memory=10**9)
    assert found.layers == tuple(LAYERS)
    assert not changed(watching.states[0], model)
    for stage, layer in enumerate(LAYERS):
        expected = set(LAYERS[: stage + 1]) if kind == "cascading" else {layer}
        assert changed(watching.states[stage + 1], model) == expected
    predicted = model(X).argmax(1)
    assert all(torch.equal(targets, predicted) for targets in watching.targets)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_similarities_are_those_of_the_maps_at_each_stage() -> None:
    model, watching = network(), Watching()
    found = cascading_randomisation(
        model, X, 1, watching, similarities=("pearson", "spearman"), memory=10**9, seed=3
    )
    maps = []
    for state in watching.states:
        other = network()
        other.load_state_dict(state)
        maps.append(gradient_map(other, X, torch.ones(6, dtype=torch.long)))
    for name in ("pearson", "spearman"):
        each = found.evidence[name]
        assert each.curves is not None
        expected = np.stack([compare_maps(maps[0], later, name) for later in maps[1:]], axis=1)
        np.testing.assert_allclose(each.curves, expected)
        np.testing.assert_allclose(each.values, expected.mean(1))
        assert each.maps_made == 6 * 5


def test_a_seed_gives_a_layer_the_same_weights_in_both_kinds() -> None:
    first, second, third = Watching(), Watching(), Watching()
    cascading_randomisation(network(), X, 0, first, seed=1, memory=10**9)
    independent_randomisation(network(), X, 0, second, seed=1, memory=10**9)
    independent_randomisation(network(), X, 0, third, seed=2, memory=10**9)
    for stage, layer in enumerate(LAYERS, start=1):
        for name in (f"{layer}.weight", f"{layer}.bias"):
            assert torch.equal(first.states[stage][name], second.states[stage][name])
    assert not torch.equal(second.states[1]["7.weight"], third.states[1]["7.weight"])


def test_a_map_without_the_model_stays_and_a_constant_one_is_undefined() -> None:
    found = cascading_randomisation(network(), X, 0, centre_map)
    assert found.evidence["spearman"].values == pytest.approx(1)
    flat = cascading_randomisation(network(), X, 0, lambda m, i, t: torch.ones_like(i[:, 0]))
    assert flat.evidence["spearman"].undefined == 6


def test_an_interrupt_keeps_the_layers_that_were_done() -> None:
    calls = []

    def interrupting(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(model)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return gradient_map(model, inputs, targets)

    found = cascading_randomisation(network(), X, 0, interrupting, memory=10**9)
    assert found.interrupted
    assert found.layers == ("7", "3")
    whole = cascading_randomisation(network(), X, 0, gradient_map)
    expected, curves = whole.evidence["ssim"].curves, found.evidence["ssim"].curves
    assert expected is not None
    np.testing.assert_allclose(curves, expected[:, :2])
    assert "INTERRUPTED" in found.summary()


def test_table_picture_and_file(tmp_path: Path) -> None:
    found = cascading_randomisation(network(), X, 0, gradient_map)
    table = found.frame()
    assert len(table) == 3 * 4
    assert list(table["layer"][:4]) == LAYERS
    axes = found.plot()
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["ssim"].get_ydata(), table.loc[table["similarity"] == "ssim", "mean"])
    assert "target fixed" in found.summary()
    read = wb.load_result(found.save(tmp_path / "randomisation.npz"))
    assert isinstance(read, Randomisation)
    assert read.summary() == found.summary()


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ValueError, match="no weights"):
        cascading_randomisation(nn.Flatten(), X, 0, gradient_map)
    with pytest.raises(ValueError, match="did you mean 'ssim'"):
        cascading_randomisation(linear(), X, 0, gradient_map, similarities=["sim"])


def test_a_random_classifier_leaves_norm_grad_at_the_last_convolution_as_it_was() -> None:
    # Its map there is the norm of the activation times a constant: it fails the check, and the table says so.
    model = wb.load_problem("digits-cnn", epochs=1).model
    found = independent_randomisation(model, digits().test[0][:16], None, explainer("norm_grad", "block3"))
    for name in ("spearman", "ssim"):
        curves = found.evidence[name].curves
        assert curves is not None
        np.testing.assert_allclose(curves[:, found.layers.index("output")], 1, atol=1e-4)
        assert np.nanmean(curves[:, found.layers.index("block3.convolution")]) < 0.9


def test_callers_in_inference_mode_are_served() -> None:
    model, inputs = network(), images(2)
    expected = cascading_randomisation(model, inputs, 0, explainer("gradient", "input"))
    with torch.inference_mode():
        found = cascading_randomisation(model, inputs, 0, explainer("gradient", "input"))
    np.testing.assert_array_equal(found.evidence["spearman"].curves, expected.evidence["spearman"].curves)
