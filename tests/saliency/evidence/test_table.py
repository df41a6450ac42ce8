"""The table of evidence has what each metric alone gives, and says what the floors have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from evidence_cases import gradient_map, images, network
from torch import Tensor, nn

import workbench as wb
from workbench.saliency.evidence import (
    FLOORS,
    METRICS,
    EvidenceTable,
    cascading_randomisation,
    class_sensitivity,
    deletion,
    edge_map,
    evidence_table,
    infidelity,
    max_sensitivity,
    pointing_game,
    sparseness,
)

X, Y = images(5), torch.tensor([0, 1, 2, 1, 0])
BOXES = torch.tensor([[1, 1, 4, 4]]).expand(5, 4)
QUICK = {"deletion": {"steps": 5}, "infidelity": {"draws": 4}, "class_sensitivity": {}}


def absolute(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient_map(model, inputs, targets).abs()


def test_rows_are_what_each_metric_alone_gives() -> None:
    model = network()
    found = evidence_table(model, X, Y, {"gradient": gradient_map, "size": absolute}, boxes=BOXES, seed=3)
    expected = [name for name, metric in METRICS.items() if metric.default]
    assert found.metrics == tuple(expected)
    assert set(found.evidence) == {"gradient", "size", *FLOORS}
    maps = gradient_map(model, X, Y)
    cascade = cascading_randomisation(model, X, Y, gradient_map, similarities=["spearman"], seed=3)
    alone = {
        "class_sensitivity": class_sensitivity(model, X, gradient_map, seed=3),
        "cascading_randomisation": cascade.evidence["spearman"],
        "pointing_game": pointing_game(maps, BOXES, Y, seed=3),
        "deletion": deletion(model, X, Y, maps, seed=3),
        "infidelity": infidelity(model, X, Y, maps, seed=3),
        "max_sensitivity": max_sensitivity(model, X, Y, gradient_map, seed=3),
        "sparseness": sparseness(maps, seed=3),
    }
    table = found.frame().set_index(["explainer", "metric"])
    assert len(table) == 5 * len(expected)
    for name, evidence in alone.items():
        row = table.loc[("gradient", name)]
        np.testing.assert_allclose(
            row[["mean", "low", "high"]].astype(float), [evidence.mean, evidence.low, evidence.high]
        )
        assert (row["n"], row["undefined"]) == (evidence.n, evidence.undefined)
    edges = sparseness(edge_map(model, X, Y))
    assert table.loc[("edge detector", "sparseness"), "mean"] == pytest.approx(edges.mean)
    assert table["floor"].sum() == 3 * len(expected)


def test_floors_of_the_sanity_checks_are_known() -> None:
    names = ["class_sensitivity", "cascading_randomisation", "independent_randomisation"]
    table = evidence_table(network(), images(40), 0, {}, names).frame().set_index(["explainer", "metric"])
    for name in names:
        assert table.loc[("centre map", name), "mean"] == pytest.approx(1)
        assert table.loc[("edge detector", name), "mean"] == pytest.approx(1)
        assert abs(table.loc[("random map", name), "mean"]) < 0.15


def test_the_same_seed_gives_the_same_table() -> None:
    first, second = (evidence_table(network(), X, Y, {"g": gradient_map}, QUICK).frame() for _ in range(2))
    assert first.equals(second)
    assert set(first["metric"]) == set(QUICK)
    assert evidence_table(network(), X, Y, {"g": gradient_map}, QUICK, floors=False).floors == ()


def test_the_picture_has_points_with_intervals_and_grey_floors(tmp_path: Path) -> None:
    found = evidence_table(network(), X, Y, {"g": gradient_map, "a": absolute}, QUICK)
    panels = found.plot().child_axes
    assert [panel.get_xlabel().split()[0] for panel in panels] == ["deletion", "infidelity", "class"]
    table = found.frame()
    points = [line for line in panels[0].lines if line.get_marker() == "o"]
    floors = [line for line in panels[0].lines if line.get_marker() != "o"]
    chosen = table[table["metric"] == "deletion"]
    np.testing.assert_allclose([p.get_xdata()[0] for p in points], chosen.loc[~chosen["floor"], "mean"])
    np.testing.assert_allclose([f.get_xdata()[0] for f in floors], chosen.loc[chosen["floor"], "mean"])
    read = wb.load_result(found.save(tmp_path / "table.npz"))
    assert isinstance(read, EvidenceTable)
    assert read.frame().equals(table)


def test_the_summary_names_floors_that_are_not_beaten() -> None:
    flat = evidence_table(network(), X, 0, {"cone": FLOORS["centre map"](0)}, ["deletion"])
    assert "NOT better than the" in flat.summary()
    assert "centre map" in flat.summary()


def test_an_interrupt_keeps_the_metrics_that_were_done() -> None:
    calls = []

    def interrupting(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(len(inputs))
        if len(calls) > 1:
            raise KeyboardInterrupt
        return gradient_map(model, inputs, targets)

    found = evidence_table(network(), X, Y, {"g": interrupting}, QUICK)
    assert found.interrupted
    assert found.frame()[["explainer", "metric"]].to_numpy().tolist() == [
        ["g", "deletion"],
        ["g", "infidelity"],
    ]
    assert "INTERRUPTED" in found.summary()


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'deletion'"):
        evidence_table(network(), X, Y, {}, ["deletions"])
    with pytest.raises(ValueError, match="needs boxes="):
        evidence_table(network(), X, Y, {}, ["pointing_game"])
    with pytest.raises(ValueError, match="has the name of a floor"):
        evidence_table(network(), X, Y, {"centre map": gradient_map}, ["deletion"])


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"deletion": {"step": 5}}, "no option 'step': it has steps, baseline, score; did you mean 'steps'"),
        ({"road": {"percentage": [5]}}, "did you mean 'percentages'"),
        ({"cascading_randomisation": {"similarities": ["ssim"]}}, "did you mean 'similarity'"),
        ({"pointing_game": {"tolerence": 3}}, "did you mean 'tolerance'"),
        ({"sparseness": {"steps": 3}}, "it has none"),
        ({"deletion": {"seed": 3}}, "no option 'seed'"),  # the table's own
        ({"deletion": {"baseline": "zeros"}}, "did you mean 'zero'"),
    ],
)
def test_a_misspelt_option_is_refused_with_the_nearest(metrics: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        evidence_table(network(), X, Y, {"g": gradient_map}, metrics, BOXES)
    assert "\n" not in str(raised.value)


def test_options_and_regions_of_another_kind_are_refused_before_a_map_is_made() -> None:
    def never(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        raise AssertionError

    with pytest.raises(TypeError, match="options of 'deletion' are a int"):
        evidence_table(network(), X, Y, {"g": never}, {"deletion": 5})
    with pytest.raises(ValueError, match="3 regions for 5 maps"):
        evidence_table(network(), X, Y, {"g": never}, QUICK, BOXES[:3])
    with pytest.raises(TypeError, match="regions are a str"):
        evidence_table(network(), X, Y, {"g": never}, QUICK, "boxes")


def test_each_metric_takes_its_options() -> None:
    for metric in METRICS.values():
        assert not {"memory", "seed", "model", "similarities"} & set(metric.options)
    assert METRICS["label_randomisation"].options == ("train", "labels", "similarity")
    options = {"cascading_randomisation": {"similarity": "ssim"}, "deletion": {"steps": 3}}
    found = evidence_table(network(), X, Y, {"g": gradient_map}, options, floors=False)
    assert found.evidence["g"]["deletion"].curves.shape == (5, 4)


def test_the_summary_warns_of_a_tolerance_that_covers_the_pictures() -> None:
    boxes = torch.tensor([[0, 0, 2, 2]] * len(X))
    table = evidence_table(network(), X, 0, {"|gradient|": absolute}, ["pointing_game"], boxes)
    assert "TOLERANCE TOO LARGE" in table.summary()
