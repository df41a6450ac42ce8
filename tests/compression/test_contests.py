"""A contest codes what it says, compares picture by picture, and keeps what an interrupt leaves."""

import numpy as np
import pytest
from scipy import stats

from workbench.compression import EntropyContest, compare_entropy_models
from workbench.compression.range_coding import HEADER_BITS
from workbench.progress import listening
from workbench.result import load_result


@pytest.fixture(scope="module")
def contest() -> EntropyContest:
    return compare_entropy_models("region", ("gaussian", "generalized"), pictures=3, steps=40)


def test_coded_sizes_are_within_a_percent_of_the_estimates(contest: EntropyContest) -> None:
    assert contest.overhead < 0.01
    assert contest.coded.shape == (2, 3)
    assert ((contest.coded - HEADER_BITS) % 32 == 0).all()  # whole words


def test_a_shape_that_is_fitted_costs_less_than_a_gaussian(contest: EntropyContest) -> None:
    mean, half = contest.saving("generalized")
    assert mean - half > 0
    assert contest.shapes[0] == pytest.approx(2)
    assert contest.shapes[1].max() < 2


def test_savings_are_picture_by_picture_with_students_interval(contest: EntropyContest) -> None:
    saved = 100 * (1 - contest.coded[1] / contest.coded[0])
    interval = stats.ttest_1samp(saved, 0).confidence_interval(0.95)
    mean, half = contest.saving("generalized")
    assert mean - half == pytest.approx(interval.low)
    assert mean + half == pytest.approx(interval.high)
    assert contest.rate("gaussian")[0] == pytest.approx(contest.coded[0].mean() / 224**2)


def test_the_seed_repeats_it_and_finer_steps_cost_more(contest: EntropyContest) -> None:
    kinds = ("gaussian", "generalized")
    again = compare_entropy_models("region", kinds, pictures=3, steps=40)
    assert np.array_equal(again.coded, contest.coded)
    finer = compare_entropy_models("region", ("gaussian",), pictures=2, steps=5, step=6.0)
    coarse = compare_entropy_models("region", ("gaussian",), pictures=2, steps=5, step=24.0)
    assert (finer.coded > coarse.coded).all()
    assert (finer.quality > coarse.quality).all()


@pytest.mark.parametrize("bound", ["tail", "none"])
def test_networks_can_be_fitted_to_noise(bound: str) -> None:
    found = compare_entropy_models(
        "frequency", ("generalized",), pictures=2, steps=3, training="noise", bound=bound
    )
    assert np.isfinite(found.coded).all()
    assert f"fitted to noise in 3 steps, bound {bound}" in found.summary()


def test_the_result_is_a_table_a_picture_and_a_file(contest: EntropyContest, tmp_path) -> None:
    frame = contest.frame()
    assert len(frame) == 6
    assert frame["coded_bpp"].tolist() == pytest.approx((contest.coded / 224**2).ravel().tolist())
    assert contest.plot().get_ylabel() == "bits saved beside gaussian (%)"
    assert "generalized: " in contest.summary()
    assert load_result(contest.save(tmp_path / "contest.npz")).summary() == contest.summary()


def test_an_interrupt_keeps_the_pictures_that_are_done() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with listening(stop):
        found = compare_entropy_models("frequency", ("gaussian", "laplace"), pictures=3, steps=2)
    assert found.interrupted
    assert len(found.pictures) == 1
    assert found.quality.shape == (2, 1)
    assert "INTERRUPTED" in found.summary()


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'neighbours'"):
        compare_entropy_models("neighbors")
    with pytest.raises(ValueError, match="did you mean 'generalized'"):
        compare_entropy_models(kinds=("generalised",))
    with pytest.raises(ValueError, match="kinds is empty"):
        compare_entropy_models(kinds=())
    with pytest.raises(ValueError, match="pictures=9 is out of range: it must be from 2 to 7"):
        compare_entropy_models(pictures=9)
    with pytest.raises(ValueError, match=r"weight=0\.5 is out of range"):
        compare_entropy_models(weight=0.5)
