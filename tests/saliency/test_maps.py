"""The result: its table, its picture, its file, and how maps are found in it."""

from pathlib import Path

import pytest
import torch
from saliency_cases import images, network

import workbench as wb
from workbench.saliency import SaliencyMaps, explain
from workbench.saliency.pictures import resize, stretch

LAYERS = ["input", "first", "second"]
METHODS = ["gradient", "linear_approximation", "norm_grad"]


@pytest.fixture(scope="module")
def found() -> SaliencyMaps:
    return explain(network(), images(), [[0, 1], [2, 3], [4, 0]], METHODS, LAYERS)


def test_the_table_has_a_row_per_map(found: SaliencyMaps) -> None:
    table = found.frame()
    assert len(table) == 3 * 3 * 3 * 2
    assert not table.duplicated(["method", "layer", "sample", "target"]).any()
    row = table.query("method == 'norm_grad' and layer == 'first' and sample == 1 and target == 3").iloc[0]
    raw = found.select("norm_grad", "first").raw[1, 1]
    sized = found.select("norm_grad", "first").sized[1, 1]
    assert row["maximum"] == raw.max().item()
    assert row["minimum"] == raw.min().item()
    assert row["mean"] == pytest.approx(raw.mean().item())
    assert sized[row["peak_row"], row["peak_column"]] == sized.max()
    assert row["score"] == pytest.approx(found.scores[1, 1].item())
    assert table.query("class_blind")["layer"].unique().tolist() == ["second"]


def test_all_maps_are_resized_as_each_alone() -> None:
    model, targets = network(), [[0, 1], [2, 3], [4, 0]]
    found = explain(model, images(), targets, METHODS, LAYERS, combine="sum")
    assert len(found.sized) == 3 * 4
    for entry, sized in zip(found.maps, found.sized, strict=True):
        torch.testing.assert_close(sized, entry.sized, rtol=0, atol=1e-14)


def test_the_picture_has_a_panel_per_map_over_the_input(found: SaliencyMaps) -> None:
    ax = found.plot(sample=2, target=1)
    panels = ax.child_axes
    assert len(panels) == 9
    assert all(len(panel.images) == 2 for panel in panels)
    titles = [panel.get_title() for panel in panels]
    assert "gradient\ninput" in titles
    assert sum("CLASS-BLIND" in title for title in titles) == 2
    assert "class 0" in ax.get_title()
    ax.figure.canvas.draw()


def test_without_inputs_the_picture_has_the_maps_alone() -> None:
    found = explain(network(), images(), 0, METHODS, LAYERS, keep_inputs=False)
    assert found.inputs is None
    assert all(len(panel.images) == 1 for panel in found.plot().child_axes)


def test_maps_with_a_sign_have_their_zero_in_the_middle(found: SaliencyMaps) -> None:
    image = found.select("linear_approximation", "first").plot().images[0]
    low, high = image.get_clim()
    assert low == -high
    assert found.select("norm_grad", "first").plot().images[0].get_clim()[0] == 0


def test_files_bring_everything_back(found: SaliencyMaps, tmp_path: Path) -> None:
    again = wb.load_result(found.save(tmp_path / "maps.wb"))
    assert isinstance(again, SaliencyMaps)
    assert again.summary() == found.summary()
    assert again.inputs is not None
    assert torch.equal(again.inputs, images())
    for one, other in zip(again.maps, found.maps, strict=True):
        assert torch.equal(one.raw, other.raw)
        assert torch.equal(one.sized, other.sized)
        assert (one.method, one.layer, one.formula, one.class_blind) == (
            other.method, other.layer, other.formula, other.class_blind)  # fmt: skip


def test_maps_are_selected_by_name(found: SaliencyMaps) -> None:
    assert found.select("gradient", "first") is found.maps[1]
    assert found.methods == tuple(METHODS)
    assert found.layers == tuple(LAYERS)
    with pytest.raises(ValueError, match="did you mean 'first'"):
        found.select("gradient", "frist")
    with pytest.raises(ValueError, match="method='grad'"):
        found.select("grad", "first")


def test_other_samples_are_refused(found: SaliencyMaps) -> None:
    with pytest.raises(ValueError, match="sample=3"):
        found.plot(sample=3)
    with pytest.raises(ValueError, match="target=2"):
        found.plot(target=2)


def test_the_summary_says_what_was_done_and_what_it_cost(found: SaliencyMaps) -> None:
    assert "3 methods × 3 layers, 3 inputs × 2 targets" in found.summary()
    assert "1 forward and 2 backward passes" in found.summary()


def test_maps_are_resized_between_the_centres_of_pixels() -> None:
    maps = torch.tensor([[[[0.0, 4.0]]]])
    assert resize(maps, (2, 4)).tolist() == [[[[0, 1, 3, 4], [0, 1, 3, 4]]]]
    assert resize(maps, (1, 2)) is maps


def test_stretched_maps_go_from_0_to_1_and_constant_ones_are_1() -> None:
    maps = torch.tensor([[[1.0, 3.0], [2.0, 1.0]], [[-2.0, -2.0], [-2.0, -2.0]]])
    assert stretch(maps).tolist() == [[[0, 1], [0.5, 0]], [[1, 1], [1, 1]]]


def test_what_is_not_finite_is_told_and_stays_so_in_a_combination() -> None:
    inputs = images()
    inputs[1, 0, 0, 0] = float("nan")
    found = explain(network(), inputs, 0, "linear_approximation", ["input", "first"], combine="sum")
    assert [entry.not_finite for entry in found.maps] == [1, 1, 1]
    lines = found.summary().splitlines()
    assert "NOT FINITE: 1 of 3 scores" in lines
    assert any(line.startswith("NOT FINITE: 1 of 3 of linear_approximation at input") for line in lines)
    assert "NOT FINITE" not in explain(network(), images()).summary()
    found.plot(sample=1).figure.canvas.draw()


def test_a_note_is_in_the_summaries() -> None:
    found = explain(network(), images(), 0, "excitation", "stem")
    assert "of the winning probability gets here" in found.maps[0].summary()
    assert f"excitation at stem: {found.maps[0].note}" in found.summary()
