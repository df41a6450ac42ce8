"""A watch keeps measurements to their time, and what fails from taking the rest along."""

import dataclasses
import math
import time

from workbench.overview.watch import Watch
from workbench.progress import progress, still_at_work
from workbench.stability import rate_limit


def quiet(steps: int, note: str = "") -> None:
    """A progress bar that shows nothing."""


@dataclasses.dataclass(frozen=True)
class Part:
    interrupted: bool = False
    out_of_budget: bool = False


def long_work() -> Part:
    """Answers an interrupt with what it has, as analyses do."""
    with progress("long work", None) as advance:
        try:
            while True:
                time.sleep(0.001)
                advance(1)
        except KeyboardInterrupt:
            return Part(interrupted=True)


def work_that_loses_all() -> None:
    with progress("long work", None):
        while True:
            time.sleep(0.001)
            still_at_work()


def test_a_failure_is_left_out_with_its_first_line() -> None:
    def fail() -> None:
        raise RuntimeError("no such thing\nand a long story")

    with Watch("section", math.inf, quiet) as watch:
        assert watch.measure("curvature", fail) is None
        assert watch.measure("loss", lambda: 3) == 3
    assert watch.left_out == ["curvature: no such thing"]
    assert not watch.interrupted
    assert not watch.stopped


def test_a_failure_of_a_public_function_names_it_for_its_arguments() -> None:
    with Watch("section", math.inf, quiet) as watch:
        watch.measure("rates", rate_limit, None, steps=-1, seeds=-1)
    (reason,) = watch.left_out
    assert reason.endswith(" (said by wb.stability.rate_limit)")


def test_a_failure_without_words_has_the_name_of_its_kind() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with Watch("section", math.inf, quiet) as watch:
        watch.measure("ratio", fail)
    assert watch.left_out == ["ratio: ZeroDivisionError"]


def test_what_takes_too_long_is_stopped_and_kept() -> None:
    with Watch("section", time.monotonic() + 0.05, quiet) as watch:
        assert watch.measure("descent", long_work) == Part(interrupted=True)
        assert watch.measure("more", lambda: 3) is None
    assert watch.interrupted
    assert not watch.stopped
    assert watch.left_out == ["more: the time was up"]


def test_what_has_nothing_to_show_is_left_out() -> None:
    with Watch("section", time.monotonic() + 0.05, quiet) as watch:
        assert watch.measure("descent", work_that_loses_all) is None
    assert watch.left_out == ["descent: the time was up"]
    assert not watch.stopped


def test_an_interrupt_of_the_user_stops_the_rest() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with Watch("section", math.inf, quiet) as watch:
        assert watch.measure("first", interrupted) is None
        assert watch.measure("second", lambda: 3) is None
    assert watch.stopped
    assert watch.left_out == ["first: interrupted", "second: interrupted"]


def test_a_result_that_the_user_cut_short_is_kept() -> None:
    with Watch("section", math.inf, quiet) as watch:
        assert watch.measure("first", lambda: Part(interrupted=True)) == Part(interrupted=True)
    assert watch.stopped


def test_a_result_that_ran_out_of_its_own_budget_stops_nothing() -> None:
    with Watch("section", math.inf, quiet) as watch:
        watch.measure("first", lambda: Part(interrupted=True, out_of_budget=True))
    assert watch.interrupted
    assert not watch.stopped


def test_progress_inside_is_told_with_the_name_of_the_section() -> None:
    told = []
    with Watch("loss", math.inf, lambda steps, note="": told.append((steps, note))) as watch:

        def work() -> None:
            with progress("points", 3) as advance:
                advance(1, "at 0.5")

        watch.measure("slice", work)
    assert (0, "loss: points, at 0.5") in told
