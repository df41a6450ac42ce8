"""Both searches for a counterfactual, their probabilities, and what is told of them."""

import pytest
import torch

import workbench as wb
from workbench.particles.attacks import counterfactual, counterfactual_path


@pytest.fixture(scope="module")
def found():
    digits = wb.load_problem("digits-mlp", epochs=1)
    return digits, counterfactual_path(digits, 0, 8, "fgsm", weight=0.05, evaluations=2000, seed=1)


def test_probabilities_are_those_of_the_model(found) -> None:
    digits, path = found
    for search, shares in ((path.path, path.probabilities), (path.alone, path.probabilities_alone)):
        with torch.no_grad():
            expected = digits.model(search.points.float().reshape(-1, 1, 8, 8)).softmax(1)
        torch.testing.assert_close(shares.float(), expected, rtol=1e-4, atol=1e-5)
    assert path.before == int(expected[0].argmax())


def test_distance_and_crossing_are_read_off_the_path(found) -> None:
    digits, path = found
    surrogate = counterfactual(digits, 0, 8, weight=0.05)
    value = path.probabilities[-1, 8].log() - 0.05 * path.distances[-1] ** 2
    assert value.item() == pytest.approx(path.path.value)
    assert surrogate.evaluate(path.path.point[None]).goal.item() == pytest.approx(path.path.value)
    cost = path.crossing()[0]
    record = path.path.cost().tolist().index(cost)
    assert path.probabilities[record].argmax() == 8
    assert path.probabilities[record - 1].argmax() != 8


def test_table_picture_and_file(found, tmp_path) -> None:
    _, path = found
    assert {"p_8", "distance", "value"} <= set(path.frame())
    assert path.images.shape == (len(path.path.points), 8, 8)
    assert len(path.plot().images) >= 3
    assert len(path.plot_probability().lines) == 3
    assert wb.load_result(path.save(tmp_path / "path.npz")).summary() == path.summary()


def test_what_cannot_be_is_refused(found) -> None:
    digits, _ = found
    with pytest.raises(ValueError, match="attack='l1'"):
        counterfactual_path(digits, attack="l1")
    with pytest.raises(ValueError, match="target=10"):
        counterfactual_path(digits, target=10)
