"""Random directions: the curvature by differences, the radius, and that a seed is all they depend on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import workbench as wb
from workbench.progress import listening
from workbench.random_vectors import generator, random_vectors
from workbench.stability import taylor_radius
from workbench.stability.experiments import RandomDirections, random_directions
from workbench.stability.experiments.random_directions import _stages

SMALL: dict[str, Any] = {
    "stages": (5, 40),
    "seeds": (0, 1),
    "directions": 2,
    "points": 9,
    "examples": 200,
}


@pytest.fixture(scope="module")
def found() -> RandomDirections:
    return random_directions(**SMALL)


def test_a_line_against_its_definition(found: RandomDirections) -> None:
    """The second line of the late stage: its radius, curvature by central differences, and a point."""
    *_, (_, problem) = _stages(0, (5, 40), 200)
    problem = problem.to(dtype=torch.float64)
    unit = random_vectors(2, problem.num_parameters, generator(0))[0]
    unit = unit / unit.norm()
    line = 4
    assert (found.stage[line], found.kind[line]) == (40, "random")
    assert found.spread[line] == pytest.approx(taylor_radius(problem, unit, "spread").radius, rel=1e-4)
    theta, h = problem.parameters_vector(), 1e-2
    low, middle, high = (problem.loss_at(theta + step * unit) for step in (-h, 0.0, h))
    assert found.curvature[line] == pytest.approx((high - 2 * middle + low) / h**2, rel=2e-3)
    moved = problem.loss_at(theta - found.ratio[5] * found.spread[line] * unit)
    assert found.loss_ratio[line, 5] == pytest.approx(moved / middle, rel=1e-4)


def test_short_steps_change_little_and_long_ones_much(found: RandomDirections) -> None:
    late = found.stage == 40
    assert (found.flips[late][:, 0] < 0.05).all()
    assert (found.flips[late][:, -1] > 0.3).all()
    assert (found.loss_ratio[:, -1] > 3).all()
    assert found.start_accuracy[late].min() > found.start_accuracy[~late].max()


def test_runs_are_repeatable(found: RandomDirections) -> None:
    again = random_directions(**(SMALL | {"seeds": (1,)}))
    assert np.array_equal(again.loss_ratio, found.loss_ratio[6:])


def test_means_are_over_the_means_of_seeds(found: RandomDirections) -> None:
    onsets = found.onsets()
    chosen = onsets[(onsets["stage"] == 40) & (onsets["kind"] == "random")]
    by_seed = [np.log(chosen["loss_onset"][chosen["seed"] == seed]).mean() for seed in (0, 1)]
    table = found.by_stage()
    row = table[(table["stage"] == 40) & (table["kind"] == "random")].iloc[0]
    assert row["loss_onset"] == pytest.approx(np.exp(np.mean(by_seed)))
    assert row["lines"] == 4


def test_what_does_not_curve_up_has_an_infinite_scale(found: RandomDirections) -> None:
    bent = found.replace(curvature=-found.curvature)
    assert (bent.inverse_curvature == np.inf).all()
    assert (bent.by_stage()["below"] == bent.by_stage()["lines"]).all()


def test_an_interrupt_keeps_what_is_done() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description.startswith("random directions") and done == 2:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = random_directions(**SMALL)
    assert found.interrupted
    assert len(found.stage) == 2
    assert "INTERRUPTED" in found.summary()


def test_the_lines_are_a_result(found: RandomDirections, tmp_path: Path) -> None:
    again = wb.load_result(found.save(tmp_path / "lines.npz"))
    assert isinstance(again, RandomDirections)
    pd.testing.assert_frame_equal(again.frame(), found.frame())
    for quantity in ("flips", "loss_ratio"):
        assert len(found.plot(quantity=quantity).get_legend().get_texts()) == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"stages": (30, 10)}, "must be numbers of steps that ascend"),
        ({"stages": ()}, "number of stages=0"),
        ({"directions": -1}, "directions=-1 is out of range"),
        ({"examples": 2000}, "examples=2000 is out of range"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_directions(**keywords)
