"""The explorer of an overview: Run draws learning rates and sections, its code gives the same."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore import remembered
from workbench.explore.overview_view import OVERVIEW
from workbench.explore.still import Still

QUICK = {"budget": "700", "batch_size": 8, "rate": 0.2}


def test_run_draws_what_was_found(classifier):
    remembered._results.clear()
    explorer = wb.explore.overview(classifier, **QUICK)
    assert list(explorer.controls) == list(OVERVIEW.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = wb.analyze(classifier, budget=700, batch_size=8, learning_rate=0.2)
    step = found["step"]
    tested, formulas, bars = explorer.figure.data
    marks = [mark for mark in step.marks if not mark.tested]
    np.testing.assert_allclose(formulas.x, [mark.value for mark in marks], rtol=1e-6)
    np.testing.assert_allclose(tested.x, [step.limit.advised], rtol=1e-6)
    np.testing.assert_allclose(tested.error_x.array, [step.limit.interval[1] - step.limit.advised], rtol=1e-5)
    assert list(bars.y) == [section.title for section in found.sections.values()]
    np.testing.assert_allclose(bars.x, [section.gradients for section in found.sections.values()])
    band, today = explorer.figure.layout.shapes
    assert (band.x0, band.x1) == pytest.approx(step.advised)
    assert today.x0 == 0.2


def test_the_code_gives_the_same_result(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = OVERVIEW.chosen(wb.parameters.read_notebook("overview").validate(QUICK))
    scope = {"problem": classifier}
    exec(OVERVIEW.code(values), scope)
    again = OVERVIEW.results(classifier, values)["overview"]
    assert scope["overview"].frame().equals(again.frame())
    assert (tmp_path / "overview.html").exists()


def test_what_a_page_would_read_as_markup_is_escaped(classifier):
    figure = OVERVIEW.figure()
    found = wb.analyze(classifier, budget=5)
    OVERVIEW.draw(figure, {"overview": found.replace(problem="<b>")})
    assert "<b>" not in figure.layout.title.text
    assert not list(figure.data[0].x)  # the budget did not reach the learning rate


def test_a_report_shows_a_still(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    found = wb.analyze(classifier, budget=30)
    assert isinstance(wb.explore.overview(classifier, found, **QUICK), Still)
