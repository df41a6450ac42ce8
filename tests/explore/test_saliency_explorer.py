"""The explorer of saliency: its tabs show what the functions return, and its code gives the same."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.explore import remembered
from workbench.explore.evidence_view import EVIDENCE
from workbench.explore.grid_view import GRID
from workbench.explore.maps_view import MAPS
from workbench.explore.still import Still, Stills
from workbench.explore.tokens_view import TEXT
from workbench.saliency import experiments

LAYERS = ["0", "2"]
ASKED = {"layers": LAYERS, "compared": ["gradient", "grad_cam", "norm_grad"], "pictures": 4, "stages": 2}


@pytest.fixture(scope="session")
def pictures():
    """A small convolutional network that ends in a mean and a linear layer, and eight pictures."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )
    data = torch.rand(8, 1, 12, 12), torch.randint(0, 4, (8,))
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), data, name="pictures")


@pytest.fixture
def run_tab(pictures):
    remembered._results.clear()

    def open_and_run(title, **values):
        explorer = wb.explore.saliency(pictures, **(ASKED | values)).show(title)
        explorer.job.run()
        explorer.job.wait(60)
        assert "Done" in explorer.job.status.value, explorer.job.status.value
        return explorer

    return open_and_run


def test_maps_are_drawn_for_each_layer_of_the_slider(pictures, run_tab):
    explorer = run_tab("Maps", picture="3", rank=2)
    shown = experiments.find_examples(pictures, "3")
    target = int(pictures.model(shown.inputs).argsort(descending=True)[0, 1])
    expected = wb.saliency.explain(pictures.model, shown.inputs, target, layers=LAYERS, combine="sum")
    steps = explorer.figure.layout.sliders[0].steps
    assert [step.label for step in steps] == [*LAYERS, "sum"]
    for step in steps:
        data, layout, order = step.args
        assert list(order) == [0, 1, 2]
        for panel, method in enumerate(expected.methods):
            raw = expected.select(method, step.label).raw[0, 0].numpy()
            np.testing.assert_allclose(data["z"][panel], raw / np.abs(raw).max(), atol=6e-4)
            peak = layout[f"annotations[{7 + panel}].y"], layout[f"annotations[{7 + panel}].x"]
            sized = expected.select(method, step.label).sized[0, 0]
            assert sized[peak] == sized.max()
    assert [trace.visible for trace in explorer.figure.data[:6]] == [True] * 3 + [False] * 3


def test_a_pixel_of_a_map_covers_its_part_of_the_picture(run_tab):
    explorer = run_tab("Maps")
    first, second = explorer.figure.layout.sliders[0].steps[:2]
    assert list(first.args[0]["x"][0]) == list(range(12))
    assert list(second.args[0]["x"][0]) == [0.5 + 2 * place for place in range(6)]
    assert list(explorer.figure.layout.xaxis.range) == [-0.5, 11.5]
    assert explorer.figure.layout.images[0].sizex == 12


def test_a_class_blind_map_says_so_and_the_classes_are_listed(run_tab):
    explorer = run_tab("Maps", layers=["3"], combination="none")
    notes = [note.text for note in explorer.figure.layout.annotations[:3]]
    assert notes == ["gradient: CLASS-BLIND", "grad_cam", "norm_grad: CLASS-BLIND"]
    bars = explorer.figure.data[6]
    assert len(bars.x) == len(bars.y) == 4
    assert sorted(bars.x, reverse=True) == list(bars.x)


def test_evidence_of_the_picture_and_class_stands_beside_the_maps(pictures, run_tab):
    explorer = run_tab("Maps", picture="3", rank=2, metric_steps=3)
    shown = experiments.find_examples(pictures, "3")
    targets = pictures.model(shown.inputs).argsort(descending=True)[:, 1]
    methods = list(explorer.results["maps"].methods)
    expected = experiments.judge_pictures(pictures, shown.inputs, targets, methods, LAYERS, steps=3)
    assert explorer.results["evidence"].frame().equals(expected.frame())
    table = explorer.figure.data[7]
    assert list(table.y) == [*(f"{m} · {layer}" for m in methods for layer in LAYERS), *list(table.y)[-3:]]
    mean = expected.evidence["grad_cam · 2"]["insertion"].mean
    assert (
        table.text[list(table.y).index("grad_cam · 2")][list(table.x).index("insertion ↑")] == f"{mean:.2f}"
    )


def test_opacity_and_blocks_need_no_computation(run_tab):
    explorer = run_tab("Maps")
    before = json.dumps([trace.z for trace in explorer.figure.data[:3]], default=list)
    explorer.extras["opacity"].value = 0.25
    explorer.extras["between"].value = "best"
    assert {trace.opacity for trace in explorer.figure.data[:6]} == {0.25}
    assert {trace.zsmooth for trace in explorer.figure.data[:6]} == {"best"}
    assert json.dumps([trace.z for trace in explorer.figure.data[:3]], default=list) == before


def test_the_grid_has_a_picture_per_method_and_layer(run_tab):
    explorer = run_tab("Grid", layers=["0", "3"])
    figure = explorer.figure
    assert len(figure.layout.images) == 9
    assert list(figure.layout.xaxis.ticktext) == ["input", "0", "3"]
    assert list(figure.layout.yaxis.ticktext) == ASKED["compared"]
    maxima, blind = figure.data
    assert len(maxima.x) == 7
    assert list(zip(blind.x, blind.y, strict=True)) == [(2, 0), (2, 2)]
    assert all("constant over space" in text for text in blind.text)


def test_evidence_shows_story_cascade_and_table(pictures, run_tab):
    explorer = run_tab("Evidence")
    figure, results = explorer.figure, explorer.results
    assert list(results) == ["story", "cascade", "evidence"]
    story = results["story"]
    for line, method in enumerate(ASKED["compared"]):
        expected = [story.at("class sensitivity", method, layer).mean for layer in ("input", *LAYERS)]
        drawn = np.array(figure.data[line].y, dtype=float)  # None where a map is constant
        np.testing.assert_allclose(drawn, expected)
    table = figure.data[36]
    assert list(table.y)[-3:] == ["random map", "centre map", "edge detector"]
    assert "deletion ↓" in table.x
    mean = results["evidence"].evidence["edge detector"]["deletion"].mean
    assert table.text[-1][list(table.x).index("deletion ↓")].startswith(f"{mean:.2f} [")


def test_the_shades_of_a_column_go_from_worst_to_best():
    from workbench.explore.evidence_rows import _shades

    assert _shades([1.0, 3.0, 2.0], "higher") == [0, 1, 0.5]
    assert _shades([1.0, 3.0, 2.0], "lower") == [1, 0, 0.5]
    assert _shades([1.0, 3.0], "") == [0, 0]


def test_the_text_has_a_row_per_method_and_layer(run_tab):
    explorer = run_tab("Text", text="import th", text_epochs=0)
    (cells,) = explorer.figure.data
    found = explorer.results["characters"]
    assert len(cells.y) == len(found.methods) * len(found.layers)
    assert list(cells.text[0]) == list("import␣th")
    assert np.abs(np.array(cells.z)).max(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("title", "name"), [("Maps", "maps"), ("Grid", "grid"), ("Evidence", "story")])
def test_the_code_gives_the_same(pictures, run_tab, title, name):
    explorer = run_tab(title)
    namespace = {"problem": pictures}
    exec(explorer._code.text, namespace)
    assert namespace[name].frame().equals(explorer.results[name].frame())


def test_classes_are_picked_by_name_and_follow_the_picture(pictures, run_tab):
    controls = run_tab("Maps", picture="3", rank=2).controls
    listed = controls["rank"]
    for number in (3, 5):
        controls["picture"].menu.value = str(number)
        logits = pictures.model(experiments.find_examples(pictures, str(number)).inputs)
        best = logits.softmax(1)[0].sort(descending=True)
        assert [name.split(" (")[0] for name, _ in listed.options] == [f"class {k}" for k in best.indices]
        assert [float(name.split("(")[1][:-1]) for name, _ in listed.options] == pytest.approx(
            best.values.tolist(), rel=0.06
        )
        assert listed.value == 2
    controls["picture"].menu.label = "another: number or file"
    controls["picture"].field.value = "no-such.png"
    assert [name for name, _ in listed.options] == [f"number {place}" for place in range(1, 6)]


def test_pictures_methods_and_layers_are_picked_from_what_there_is(pictures, run_tab):
    explorer = run_tab("Maps", layers=None)
    controls = explorer.controls
    assert [name for name, _ in controls["picture"].menu.options[:-1]] == [f"example {n}" for n in range(8)]
    assert controls["methods"].options == tuple(wb.saliency.METHODS)
    assert controls["layers"].options == ("input", "0", "1", "2", "3")
    assert controls["layers"].value == ("1", "3")  # the usual ones, by name
    assert explorer.results["maps"].layers == ("1", "3", "sum")
    controls["layers"].value = ("input", "2")
    explorer.job.run()
    explorer.job.wait(60)
    assert explorer.results["maps"].layers == ("input", "2", "sum")


def test_a_network_on_photographs_offers_the_built_in_ones():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    data = torch.rand(2, 3, 12, 12), torch.tensor([0, 1])
    problem = wb.Problem(model.eval(), nn.CrossEntropyLoss(), data, name="colours")
    menu = wb.explore.saliency(problem, picture="chelsea").show("Maps").controls["picture"].menu
    assert menu.label == menu.value == "chelsea"
    assert [name for name, _ in menu.options[:4]] == ["example 0", "example 1", "chelsea", "coffee"]


def test_a_problem_without_pictures_is_refused_at_run(pictures):
    model = nn.Sequential(nn.Linear(3, 2)).eval()
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (torch.rand(4, 3), torch.zeros(4).long()), name="rows")
    explorer = wb.explore.saliency(problem).show("Maps")
    explorer.job.run()
    explorer.job.wait(60)
    assert "not pictures" in explorer.job.status.value


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"picture": "8"}, "picture=8"),
        ({"picture": ""}, "picture is empty"),
        ({"picture": "chelsea"}, "is no example of"),
        ({"methods": ["gradcam"]}, "did you mean"),
        ({"layers": ["9"]}, "is none of the model"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(pictures, values, told):
    explorer = wb.explore.saliency(pictures, **values).show("Maps")
    explorer.job.run()
    explorer.job.wait(60)
    assert told in explorer.job.status.value


def test_a_report_shows_what_is_given_or_computes_the_maps(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    still = wb.explore.saliency(pictures, **ASKED)
    assert isinstance(still, Still)
    assert len(still.figure.layout.sliders[0].steps) == 3
    classes, maps = still.results["classes"], still.results["maps"]
    assert still.figure.data[7].visible
    both = wb.explore.saliency(pictures, maps, classes, grid=maps, **ASKED)
    assert not both.stills[0].figure.data[7].visible
    assert isinstance(both, Stills)
    assert len(both.stills) == 2


def test_each_view_starts_without_data():
    for view in (MAPS, GRID, EVIDENCE, TEXT):
        assert not any(trace.y for trace in view.figure().data), view.title
