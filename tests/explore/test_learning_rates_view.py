"""The explorer of an overview: Run draws learning rates and sections, its code gives the same."""

import numpy as np
import pytest

import workbench as wb
from workbench.explore import remembered
from workbench.explore.learning_rates_view import LEARNING_RATES
from workbench.explore.sections_view import SECTIONS
from workbench.explore.still import Stills

QUICK = {"budget": "700", "batch_size": 8, "rate": 0.2}


@pytest.fixture(scope="module")
def found(classifier):
    return wb.analyze(classifier, budget=700, batch_size=8, learning_rate=0.2)


def run(problem, title):
    explorer = wb.explore.overview(problem, **QUICK).show(title)
    explorer.job.run()
    explorer.job.wait(60)
    return explorer


def test_run_draws_the_learning_rates(classifier, found):
    remembered._results.clear()
    explorer = run(classifier, "Learning rates")
    assert list(explorer.controls) == list(LEARNING_RATES.controls)
    assert "Done" in explorer.job.status.value
    step = found["step"]
    tested, formulas = explorer.figure.data
    marks = [mark for mark in step.marks if not mark.tested]
    np.testing.assert_allclose(formulas.x, [mark.value for mark in marks], rtol=1e-6)
    np.testing.assert_allclose(tested.x, [step.limit.advised], rtol=1e-6)
    np.testing.assert_allclose(tested.error_x.array, [step.limit.interval[1] - step.limit.advised], rtol=1e-5)
    band, today = explorer.figure.layout.shapes
    assert (band.x0, band.x1) == pytest.approx(step.advised)
    assert today.x0 == 0.2


def test_sections_are_drawn_from_the_same_overview(classifier, found, monkeypatch):
    run(classifier, "Learning rates")
    monkeypatch.setattr("workbench.explore.overview_parts.analyze", None)  # computed once for both
    (points,) = run(classifier, "Sections").figure.data
    sections = found.sections.values()
    np.testing.assert_allclose(points.x, [max(section.gradients, 1e-3) for section in sections])
    assert [name.rpartition(" (")[0] for name in points.y] == [section.title for section in sections]


@pytest.mark.parametrize("view", [LEARNING_RATES, SECTIONS])
def test_the_code_gives_the_same_result(view, classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = view.chosen(wb.parameters.read_notebook("overview").validate(QUICK))
    scope = {"problem": classifier}
    exec(view.code(values), scope)
    assert scope["overview"].frame().equals(view.results(classifier, values)["overview"].frame())
    assert (tmp_path / "overview.html").exists()


def test_without_a_learning_rate_there_is_nothing_to_draw(classifier):
    figure = LEARNING_RATES.figure()
    LEARNING_RATES.draw(figure, {"overview": wb.analyze(classifier, budget=5)})
    assert not list(figure.data[0].x)
    assert not figure.layout.shapes


def test_what_a_figure_would_read_as_markup_is_escaped(classifier):
    figure = SECTIONS.figure()
    SECTIONS.draw(figure, {"overview": wb.analyze(classifier, budget=5).replace(budget="<b>")})
    assert "&lt;b&gt;" in figure.layout.title.text


def test_a_report_shows_stills(classifier, found, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    assert isinstance(wb.explore.overview(classifier, found, **QUICK), Stills)
