"""One step along the gradient: small runs against brute force, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.progress import listening
from workbench.stability import taylor_radius
from workbench.stability.experiments import PhaseTransition, phase_transition
from workbench.stability.experiments.networks import trained_problem

SMALL: dict[str, Any] = {"networks": ("linear", "mlp"), "seeds": (0, 3), "points": 9, "epochs": 2}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> PhaseTransition:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return phase_transition(**SMALL)


def test_a_point_is_the_loss_after_that_step(found: PhaseTransition) -> None:
    run = found.network.index("mlp")
    problem = trained_problem("mlp", 0, 2)
    gradient = problem.gradient()
    radius = taylor_radius(problem, "gradient", kind="spread").radius
    assert found.spread[run] == pytest.approx(radius, rel=1e-6)
    theta = problem.parameters_vector() - found.ratio[6] * radius * gradient / gradient.norm()
    assert found.loss_ratio[run, 6] == pytest.approx(problem.loss_at(theta) / problem.loss_at(), rel=1e-5)


def test_short_steps_lower_the_loss_and_long_ones_do_not_hold(found: PhaseTransition) -> None:
    assert (found.loss_ratio[:, 0] < 1).all()
    onsets = found.onsets()
    assert (onsets["loss_onset"] > 1).all()
    assert (onsets["loss_onset"] < 100).all()
    assert (found.spread <= found.majority).all()
    assert (found.majority <= found.exact * (1 + 1e-12)).all()


def test_runs_are_repeatable_and_depend_on_the_seed(found: PhaseTransition) -> None:
    again = phase_transition(**(SMALL | {"networks": ("mlp",), "seeds": (3,)}))
    assert np.array_equal(again.loss_ratio[0], found.loss_ratio[3])
    assert not np.array_equal(found.loss_ratio[2], found.loss_ratio[3])


def test_onsets_and_means_of_curves_written_out() -> None:
    """The loss is 1 + r and 1 + r / 10, so it has doubled at r = 1 and 10; one run never loses accuracy."""
    ratio = np.geomspace(0.01, 100, 401)
    result = PhaseTransition(
        network=("mlp", "mlp"),
        seed=np.array([0, 1]),
        ratio=ratio,
        loss_ratio=np.stack([1 + ratio, 1 + ratio / 10]),
        accuracy=np.stack([np.full_like(ratio, 0.9), np.where(ratio < 3, 0.8, 0.1)]),
        start_loss=np.ones(2),
        start_accuracy=np.array([0.9, 0.8]),
        spread=np.ones(2),
        majority=np.full(2, 1.5),
        exact=np.full(2, 2.0),
        certified=np.ones(2, dtype=bool),
        epochs=1,
    )
    onsets = result.onsets()
    assert onsets["loss_onset"].to_numpy() == pytest.approx([1, 10], rel=1e-3)
    assert onsets["loss_onset_exact"].to_numpy() == pytest.approx([0.5, 5], rel=1e-3)
    assert onsets["accuracy_onset"][0] == np.inf
    assert onsets["accuracy_onset"][1] == pytest.approx(3, rel=0.03)
    assert onsets["accuracy_lost_within"].tolist() == [0, 0]
    (row,) = result.by_network().itertuples()
    assert row.loss_onset == pytest.approx(10**0.5, rel=1e-3)
    assert (row.loss_onset_reached, row.accuracy_onset_reached) == (2, 1)
    assert "1 runs never" in result.summary()


def test_an_interrupt_keeps_what_is_done() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description.startswith("phase transition") and done == 1:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = phase_transition(**SMALL)
    assert found.interrupted
    assert found.network == ("linear",)
    assert "INTERRUPTED" in found.summary()


def test_the_runs_are_a_result(found: PhaseTransition, tmp_path: Path) -> None:
    again = wb.load_result(found.save(tmp_path / "phase.npz"))
    assert isinstance(again, PhaseTransition)
    pd.testing.assert_frame_equal(again.frame(), found.frame())
    for quantity in ("accuracy", "loss_ratio"):
        assert len(found.plot(quantity=quantity).lines) >= 5
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        found.plot(quantity="acuracy")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"networks": ("mpl",)}, "did you mean 'mlp'"),
        ({"networks": "mlp"}, "pass a list of at least one"),
        ({"seeds": ()}, "number of seeds=0 is out of range"),
        ({"points": 2}, "points=2 is out of range"),
        ({"epochs": 0}, "epochs=0 is out of range"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        phase_transition(**keywords)
