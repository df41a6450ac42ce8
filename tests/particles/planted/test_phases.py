"""The phase diagram: thresholds and growth on made-up rates, a run that separates methods, interrupts."""

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
        ({"exponents": (2, 1)}, "ascending"),
        ({"runs": 1}, "runs=1"),
        ({"minibatches": True}, "a tensor has none"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        phase_diagram(**values)
