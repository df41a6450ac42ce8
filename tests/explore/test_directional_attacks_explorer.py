"""The explorer of directional attacks shows the path that was computed, and its slider moves along it."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore import remembered
from workbench.explore.counterfactual_view import COUNTERFACTUAL
from workbench.explore.still import Still
from workbench.particles.attacks import counterfactual_path, direct_search, planted_maximiser

VALUES = {"example": 1, "target": 3, "attack": "fgsm", "weight": 0.05, "evaluations": 600, "seed": 2}


@pytest.fixture(scope="module")
def digits():
    return wb.load_problem("digits-mlp", epochs=1)


@pytest.fixture(scope="module")
def path(digits):
    return counterfactual_path(digits, 1, 3, "fgsm", weight=0.05, evaluations=600, seed=2)


def run(tabs, title="Counterfactual"):
    explorer = tabs.show(title)
    explorer.job.run()
    explorer.job.wait(60)
    return explorer


def test_run_draws_the_images_and_the_probabilities(digits, path) -> None:
    remembered._results.clear()
    explorer = run(wb.explore.directional_attacks(digits, **VALUES))
    assert "Done" in explorer.job.status.value
    assert list(explorer.controls) == list(VALUES)
    example, image, change, target, alone, before = explorer.figure.data
    np.testing.assert_allclose(np.array(example.z, float), path.images[0])
    np.testing.assert_allclose(np.array(image.z, float), path.images[-1])
    np.testing.assert_allclose(np.array(change.z, float), path.images[-1] - path.images[0])
    np.testing.assert_allclose(target.y, path.probabilities[:, 3])
    np.testing.assert_allclose(alone.y, path.probabilities_alone[:, 3])
    np.testing.assert_allclose(before.y, path.probabilities[:, path.before])
    assert list(target.x) == list(before.x) == path.path.cost().tolist()


def test_the_slider_holds_the_images_on_the_way(path) -> None:
    figure = COUNTERFACTUAL.figure()
    COUNTERFACTUAL.draw(figure, {"path": path})
    (slider,) = figure.layout.sliders
    costs = path.path.cost().tolist()
    assert 2 <= len(slider.steps) <= 40
    assert slider.active == len(slider.steps) - 1
    for place, step in enumerate(slider.steps):
        data, layout, traces = step.args
        cost = layout["shapes[0].x0"]
        assert step.label == str(cost)
        assert layout["sliders[0].active"] == place
        assert list(traces) == [1, 2]
        np.testing.assert_allclose(np.array(data["z"][0], float), path.images[costs.index(cost)])
    assert figure.layout.title.text == slider.steps[-1].args[1]["title.text"]
    np.testing.assert_allclose(np.array(slider.steps[0].args[0]["z"][1], float), 0)


def test_a_report_shows_the_path(digits, path, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    still = wb.explore.directional_attacks(digits, path)
    assert isinstance(still, Still)
    assert len(still.figure.layout.sliders[0].steps) > 1


def test_the_code_gives_the_same_path(digits) -> None:
    explorer = run(wb.explore.directional_attacks(digits, **VALUES))
    namespace = {"problem": digits}
    exec(explorer._code.text, namespace)
    assert namespace["path"].frame().equals(explorer.results["path"].frame())


def test_inputs_that_are_no_images_are_refused_in_one_line(classifier) -> None:
    explorer = run(wb.explore.directional_attacks(classifier, target=1))
    assert "outside [0, 1]" in explorer.job.status.value


def test_a_planted_maximum_is_drawn_and_its_code_gives_the_same(digits) -> None:
    explorer = run(wb.explore.directional_attacks(digits, dim=4, evaluations=500, seed=1), "Planted maximum")
    assert list(explorer.controls) == ["attack", "evaluations", "seed", "dim"]
    planted = planted_maximiser(4, seed=1)
    for trace, attack in zip(explorer.figure.data, ("l2", None), strict=True):
        found = direct_search(planted, attack, evaluations=500, seed=1)
        assert trace.y[-1] == -found.value
        assert trace.y[0] == -found.values[0]
        assert set(trace.x) <= set(found.cost())
        assert set(trace.text) == set(found.stages) - {"failure", "cut"}
    namespace = {"problem": digits}
    exec(explorer._code.text, namespace)
    for name in ("hybrid", "alone"):
        assert namespace[name].frame().equals(explorer.results[name].frame())
