"""The phase diagram: thresholds and growth on made-up rates, a run that separates methods, interrupts."""

from statistics import NormalDist

import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from workbench.particles.planted.phase_table import PhaseDiagram, Threshold, crossing
from workbench.particles.planted.phases import METHODS, SMOOTHED_METHODS, phase_diagram
from workbench.progress import listening
from workbench.result import load_result


def made_up(slope, dims=(10, 100, 1000), runs=200, spread=0.2):
    """Instances found from a size on that grows as the power ``slope`` of d, times 2."""
    exponents = np.arange(0.5, 3.51, 0.25)
    random = np.random.default_rng(1)
    middle = slope + np.log(2) / np.log(dims)
    starts = middle[:, None] + spread * random.standard_normal((len(dims), runs))
    found = (exponents > starts[..., None]).astype(float)
    sizes = np.array([[round(dim**p) for p in exponents] for dim in dims])
    return PhaseDiagram("tensor", 3, tuple(dims), exponents, sizes, ("average",), found[None], {})


def test_growth_is_recovered_with_an_interval_that_holds_it():
    diagram = made_up(1.5)
    growth = diagram.growth("average")
    assert growth.low < 1.5 < growth.high
    assert growth.high - growth.low < 0.2
    threshold = diagram.threshold("average", 100)
    assert threshold.low < 1.5 + np.log(2) / np.log(100) < threshold.high


def test_more_instances_narrow_the_interval():
    few, many = (made_up(1.5, runs=runs).growth("average") for runs in (20, 320))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.5)


def test_what_the_grid_does_not_reach_is_infinite():
    assert made_up(5).threshold("average", 10).value == np.inf
    assert made_up(-1).threshold("average", 10).value == -np.inf
    assert np.isnan(made_up(5).growth("average").value)
    assert str(made_up(5).growth("average")) == "unknown"
    assert str(made_up(5).threshold("average", 10)) == "above [above, above]"
    assert str(Threshold(1.5, -np.inf, 1.75)) == "1.50 [below, 1.75]"


def testcrossing():
    p = np.array([1.0, 2.0, 3.0, 4.0])
    assert crossing(p, np.array([0, 0.25, 0.75, 1])) == pytest.approx(2.5)
    assert crossing(p, np.array([0.0, 0.6, 0.2, 1])) == pytest.approx(3 + 0.1 / 0.6)  # pooled to 0.4, 0.4
    assert crossing(p, np.array([0.5, 1, 1, 1])) == -np.inf
    assert crossing(p, np.zeros(4)) == np.inf


def test_pooling_is_isotonic_regression():
    rates = np.random.default_rng(0).random((50, 6))
    p = np.arange(6.0)
    for rate, found in zip(rates, crossing(p, rates), strict=True):
        rising = isotonic_regression(rate)
        j = int((rising >= 0.5).argmax())
        if rising[-1] < 0.5 or j == 0:
            assert np.isinf(found)
        else:
            assert rising[j - 1] <= np.interp(found, p, rising) <= rising[j]
            assert np.interp(found, p, rising) == pytest.approx(0.5)


def test_methods_are_told_apart():
    diagram = phase_diagram("tensor", 3, (8,), (0.5, 2.5), runs=12, length=1.0)
    found = {method: diagram.overlaps[i, 0].mean(0) for i, method in enumerate(diagram.methods)}
    assert set(found) == {*METHODS, *SMOOTHED_METHODS}
    for method in ("average, ascent", "partial trace, ascent", "average", "smoothed ascent"):
        assert found[method][1] > 0.95
    assert found["online SGD"][1] < found["average"][1] - 0.2
    assert all(values[0] < 0.6 for values in found.values())
    frame = diagram.frame()
    assert len(frame) == 2 * len(found)
    assert (frame["low"] <= frame["found"]).all()
    assert (frame["found"] <= frame["high"]).all()


def test_minibatches_have_their_own_rows():
    diagram = phase_diagram("single index", 1, (5,), (1.0, 3.0), runs=3, length=0.5, minibatches=True)
    assert diagram.methods[-1] == "minibatch average, ascent"
    assert diagram.overlaps[-1, 0, :, 1].min() > 0.9
    assert diagram.plot(method="minibatch average").get_xlabel().startswith("p")


def test_an_interrupt_keeps_the_instances_that_are_done(tmp_path):
    def stop(description, done, total):
        if "phases" in description and done >= 3:
            raise KeyboardInterrupt

    with listening(stop):
        diagram = phase_diagram("tensor", 1, (4, 5), (0.5, 1.0), runs=3, length=0.1)
    assert diagram.interrupted
    assert set(diagram.frame()["dim"]) == {4}
    assert "INTERRUPTED" in diagram.summary()
    diagram.save(tmp_path / "phases.npz")
    assert load_result(tmp_path / "phases.npz").summary() == diagram.summary()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "tensors"}, "did you mean 'tensor'"),
        ({"dims": ()}, "give at least one"),
        ({"dims": (8, 4)}, "ascending"),
        ({"dims": (4, 4)}, "ascending"),
        ({"exponents": (1, np.nan)}, "exponents"),
        ({"exponents": (1, np.inf)}, "exponents"),
        ({"order": 0}, "order=0"),
        ({"exponents": (2, 1)}, "ascending"),
        ({"runs": 1}, "runs=1"),
        ({"minibatches": True}, "a tensor has none"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        phase_diagram(**values)


def test_intervals_cover_where_all_instances_agree():
    """A steep rise between two points of the grid: instances at both are all alike, most of the time."""
    exponents = np.arange(0.5, 2.51, 0.25)
    starts = 1.384 + 0.05 * np.random.default_rng(2).standard_normal((200, 20))
    rates = np.array([NormalDist(1.384, 0.05).cdf(p) for p in exponents])
    truth = crossing(exponents, rates)
    held = 0
    for row in starts:
        found = (exponents > row[:, None]).astype(float)[None, None]
        sizes = np.array([[round(64**p) for p in exponents]])
        threshold = PhaseDiagram("tensor", 3, (64,), exponents, sizes, ("average",), found, {}).threshold(
            "average", 64
        )
        held += threshold.low <= truth <= threshold.high
    assert held >= 183  # binomial of 200 at 95%: 183 or more but for one time in forty


def test_an_unknown_dimension_is_refused():
    with pytest.raises(ValueError, match="dim=7 is not one of"):
        made_up(1.5).threshold("average", 7)


class TestResume:
    OPTIONS = ("tensor", 1, (4, 5), (0.5, 1.0))

    def test_the_rest_is_run_and_nothing_twice(self):
        def stop(description, done, total):
            if "phases" in description and done >= 3:
                raise KeyboardInterrupt

        with listening(stop):
            part = phase_diagram(*self.OPTIONS, runs=3, length=0.1)
        assert part.interrupted
        ran = []
        with listening(lambda description, done, total: ran.append(description)):
            found = phase_diagram(*self.OPTIONS, runs=3, length=0.1, resume=part)
        assert not any("in 4 dimensions" in description for description in ran)
        assert any("in 5 dimensions" in description for description in ran)
        whole = phase_diagram(*self.OPTIONS, runs=3, length=0.1)
        np.testing.assert_array_equal(found.overlaps, whole.overlaps)
        assert not found.interrupted

    def test_more_instances_and_dimensions_are_added(self, tmp_path):
        part = phase_diagram(*self.OPTIONS[:2], (5,), self.OPTIONS[3], runs=2, length=0.1)
        part.save(tmp_path / "part.npz")
        kept = load_result(tmp_path / "part.npz")
        found = phase_diagram(*self.OPTIONS, runs=3, length=0.1, resume=kept)
        whole = phase_diagram(*self.OPTIONS, runs=3, length=0.1)
        np.testing.assert_array_equal(found.overlaps[:, 1, :2], part.overlaps[:, 0])
        np.testing.assert_allclose(found.overlaps, whole.overlaps, atol=1e-3)  # batches round differently

    @pytest.mark.parametrize(
        "change", [{"beta": 0.5}, {"seed": 1}, {"order": 2}, {"exponents": (0.5, 1.5)}, {"length": 0.2}]
    )
    def test_other_arguments_are_refused(self, change):
        model, order, dims, exponents = self.OPTIONS
        part = phase_diagram(model, order, (4,), exponents, runs=2, length=0.1)
        asked = {"order": order, "exponents": exponents, "length": 0.1, "runs": 2, **change}
        with pytest.raises(ValueError, match="the diagram to resume has"):
            phase_diagram(model, dims=dims, resume=part, **asked)
