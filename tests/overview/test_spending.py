"""Time that sections did not need goes into deeper ones, and the budget is never exceeded."""

import dataclasses
import math

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.overview import Section, analysis, analyze, watch
from workbench.overview.budget import Prices
from workbench.overview.planning import Cost, Level
from workbench.overview.setting import Setting
from workbench.overview.watch import Watch
from workbench.progress import progress

PRICES = Prices(forward=1 / 3, step=0.1, product=2.0, seconds=1.0)
DEPTHS = (10, 100, 500, 2000)


class Clock:
    """Stands for the module ``time``, and goes only as far as work takes it."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Fake(Section):
    key = "fake"
    title = "Fake"

    depth: int = 0

    sentence = "Nothing."
    findings = ()
    drawable = False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(analysis, "time", found)
    monkeypatch.setattr(watch, "time", found)
    monkeypatch.setattr(analysis, "measured_prices", lambda problem, batch_size: PRICES)
    return found


def kind(clock: Clock, factors: dict[int, float]) -> analysis._Kind:
    """A section whose levels take a factor times their price; where that is NaN they fail."""

    def work(gradients: float) -> Fake:
        if math.isnan(gradients):
            raise RuntimeError("it does not go that deep")
        with progress("work", None) as advance:
            for _ in range(100):
                clock.now += gradients / 100
                advance(1)
        return Fake((), 0.0, 0.0, interrupted=False)

    def measure(setting: Setting, watch: Watch, *, depth: int) -> Fake:
        watch.measure("work", work, depth * factors[depth])
        return Fake(tuple(watch.left_out), float(depth), watch.seconds, watch.interrupted, depth)

    def offer(setting: Setting) -> list[Level]:
        return [Level(Cost(gradients=depth), {"depth": depth}) for depth in DEPTHS]

    return analysis._Kind(Fake, offer, measure)


def depths(monkeypatch: pytest.MonkeyPatch, **kinds: analysis._Kind) -> tuple[wb.Overview, dict[str, int]]:
    monkeypatch.setattr(analysis, "SECTIONS", kinds)
    problem = wb.Problem(nn.Linear(3, 2), nn.CrossEntropyLoss(), (torch.randn(20, 3), torch.arange(20) % 2))
    found = analyze(problem, budget="10min")
    return found, {key: section.depth for key, section in found.sections.items()}  # type: ignore[attr-defined]


def test_time_that_is_left_goes_into_deeper_measurements(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap = kind(clock, dict.fromkeys(DEPTHS, 0.1))
    found, reached = depths(monkeypatch, a=cheap, b=cheap)
    assert reached == {"a": 2000, "b": 2000}  # by their prices both would not even reach 500
    assert clock.now <= 600
    assert found.gradients >= 4000


@pytest.mark.parametrize("factor", [0.1, 1, 20, 1000])
def test_a_deeper_measurement_that_takes_too_long_leaves_what_is_there(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """The first levels are cheap, so that deeper ones look so, too."""
    rising = {10: 0.1, 100: 0.1, 500: factor, 2000: 3 * factor}
    found, reached = depths(monkeypatch, a=kind(clock, rising), b=kind(clock, rising))
    assert clock.now <= 600 + 3 * factor * 2000 / 100  # work is stopped between two of its hundred steps
    deepest = 500 if factor == 0.1 else 100
    assert reached == {"a": deepest, "b": deepest}
    assert not found.interrupted
    assert not any(section.interrupted for section in found.sections.values())


def test_a_deeper_measurement_that_fails_leaves_what_is_there(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = kind(clock, {10: 0.1, 100: 0.1, 500: math.nan, 2000: math.nan})
    found, reached = depths(monkeypatch, a=fails, b=fails)
    assert reached == {"a": 100, "b": 100}
    assert not any(section.left_out for section in found.sections.values())
