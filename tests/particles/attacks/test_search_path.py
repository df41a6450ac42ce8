"""A path as a table, a picture, a file and a trail."""

import numpy as np
import pytest

import workbench as wb
from workbench.particles.attacks import direct_search, planted_maximiser, process_surrogate


@pytest.fixture(scope="module")
def path():
    return direct_search(planted_maximiser(6), "l2", evaluations=2000)


def test_stages_make_up_the_gain(path) -> None:
    gains = path.gains()
    assert sum(gains.values()) == pytest.approx(path.values[-1] - path.values[0])
    assert gains["attack"] > 0


def test_a_gradient_costs_three_evaluations(path) -> None:
    np.testing.assert_array_equal(path.cost(), path.evaluations + 3 * path.gradients)
    np.testing.assert_array_equal(
        path.trail("opportunistic").evaluations, path.opportunistic + 3 * path.gradients
    )
    with pytest.raises(ValueError, match="did you mean 'batched'"):
        path.cost("batch")


def test_a_trail_has_no_value_before_there_is_a_feasible_point() -> None:
    found = direct_search(
        process_surrogate(feasible=False, iterations=100), barrier="progressive", evaluations=900
    )
    best = found.trail().best
    assert best[0] == -np.inf
    np.testing.assert_array_equal(best == -np.inf, found.violations > 0)
    assert found.feasible
    assert "attack, infeasible" in [each.get_label() for each in found.plot().collections]


def test_table_picture_and_file(path, tmp_path) -> None:
    assert len(path.frame()) == len(path.stages) == len(path.points)
    assert "attack" in path.plot().get_legend_handles_labels()[1]
    again = wb.load_result(path.save(tmp_path / "path.npz"))
    assert again.frame().equals(path.frame())
    assert again.summary() == path.summary()
    assert f"{path.evaluations[-1]} evaluations in {path.passes[-1]} forward passes" in path.summary()
