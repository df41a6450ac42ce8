"""Taylor sums over seeds: those of the single run, the rate that theory has, and the intervals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import workbench as wb
from workbench.progress import listening
from workbench.stability.experiments import SeriesConvergence, partial_sums, series_convergence
from workbench.stability.experiments.networks import trained_problem

PARTS = (0.5, 0.9, 1.1)
SMALL: dict[str, Any] = {"seeds": (0, 3), "parts": PARTS, "epochs": 2}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SeriesConvergence:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return series_convergence(**SMALL)


def test_sums_converge_inside_and_diverge_outside_for_each_seed(found: SeriesConvergence) -> None:
    assert found.certified.all()
    assert (found.error[:, 1] < 1e-6).all()
    assert (found.error[:, 2] > 1).all()
    # c_n falls as ρ^-n / n, so the growth at order n is the part times about 1 - 1/n
    np.testing.assert_allclose(found.growth[:, 1:], [PARTS[1:]] * 2, rtol=0.04)


def test_a_row_is_the_single_run(found: SeriesConvergence) -> None:
    sums = partial_sums(trained_problem("mlp", 3, 2), "gradient", parts=PARTS)
    assert np.array_equal(found.error[1], sums.error[:, -1])
    assert found.radius[1] == sums.radius


def test_intervals_are_students_of_logarithms_and_leave_rounding_out(found: SeriesConvergence) -> None:
    table = found.by_part().set_index("part")
    expected = stats.ttest_1samp(np.log(found.error[:, 2]), 0).confidence_interval(0.95)
    assert np.log(table.loc[1.1, ["error_low", "error_high"]].to_numpy(dtype=float)) == pytest.approx(
        [expected.low, expected.high]
    )
    exact = found.replace(error=np.zeros_like(found.error))
    assert exact.by_part()["error"].to_numpy() == pytest.approx(2.0**-52)


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description.startswith("Taylor sums") and done == 1:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = series_convergence(**SMALL)
    assert (found.interrupted, list(found.seed)) == (True, [0])
    assert "INTERRUPTED" in found.summary()
    again = wb.load_result(found.save(tmp_path / "sums.npz"))
    assert again.frame().equals(found.frame())
    found.plot()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"network": "mpl"}, "did you mean 'mlp'"),
        ({"seeds": ()}, "number of seeds=0 is out of range"),
        ({"epochs": 0}, "epochs=0 is out of range"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        series_convergence(**keywords)
