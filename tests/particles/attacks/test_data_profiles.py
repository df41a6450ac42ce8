"""Profiles against counts by hand."""

import numpy as np
import pytest

from workbench.particles.attacks import Trail, data_profile


def trail(problem, evaluations, best):
    return Trail(problem, 3, np.array(evaluations), np.array(best, dtype=float))


TRAILS = {
    "quick": [trail("a", [1, 8, 16], [0, 9.5, 10]), trail("b", [1, 40], [-np.inf, 2])],
    "slow": [trail("a", [1, 80], [0, 9.4]), trail("b", [1, 20], [-np.inf, 1])],
}


def test_a_problem_is_solved_when_its_share_of_the_best_gain_is_made_up() -> None:
    profile = data_profile(TRAILS, 0.05)
    np.testing.assert_allclose(profile.solved, [[8 / 4, 40 / 4], [np.inf, np.inf]])
    assert profile.share("quick", 2.0) == 0.5
    assert profile.share("quick", 1.9) == 0
    assert data_profile(TRAILS, 0.1).share("slow", 20.0) == 0.5
    assert list(profile.by_method()["solved"]) == [2, 0]
    assert profile.by_method()["median_units"].tolist() == [6.0, np.inf]


def test_the_picture_and_the_table_show_all_methods() -> None:
    profile = data_profile(TRAILS)
    ax = profile.plot()
    assert [line.get_label() for line in ax.lines] == ["quick", "slow"]
    assert ax.lines[0].get_ydata()[-1] == 1.0
    assert len(profile.frame()) == 4
    assert "quick: 2 of 2 solved" in profile.summary()


def test_the_picture_starts_where_the_first_problem_is_solved() -> None:
    early = Trail("a", 9, np.array([1, 2, 40]), np.array([0.0, 1.0, 1.0]))
    line = data_profile({"one": [early]}).plot().lines[0]
    assert (np.diff(line.get_xdata()) >= 0).all()
    assert line.get_xdata()[0] == 0.2


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'quick'"):
        data_profile(TRAILS).share("quik", 1.0)
    with pytest.raises(ValueError, match="tolerance=1"):
        data_profile(TRAILS, 1)
    with pytest.raises(ValueError, match="nothing to compare"):
        data_profile({})
    with pytest.raises(ValueError, match="must be the same"):
        data_profile({"one": TRAILS["quick"], "two": TRAILS["slow"][:1]})
