"""The choice between a live explorer and still pictures."""

from collections.abc import Mapping, Sequence

from workbench.explore.shell import Explorer
from workbench.explore.still import Still, Stills
from workbench.explore.tabs import Tabs
from workbench.explore.view import Results, Values, View
from workbench.parameters import read_notebook
from workbench.problem import Problem
from workbench.recording import run_folder

Shown = Explorer | Tabs | Still | Stills


def present(
    views: Sequence[View],
    problem: Problem | None,
    values: Values,
    results: Mapping[str, Results] | None = None,
) -> Shown:
    """Return an explorer in a live session, still pictures while a report runs.

    Parameters
    ----------
    views : sequence of View
        Of one notebook: several are shown as tabs.
    problem : Problem or None
        What is analysed; None where an analysis makes up its own data.
    values : dict
        Initial values of some controls; the others start at the notebook's defaults.
    results : mapping of str to results, optional
        What to show first, by the titles of the views. A report shows these, or computes those of the first
        view if there are none; an explorer waits for Run.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    schema = read_notebook(views[0].notebook)
    chosen = schema.validate(values)
    results = results or {}
    if run_folder() is None:
        if len(views) > 1:
            return Tabs(views, schema, problem, chosen, results)
        (view,) = views
        return Explorer(view, schema, problem, view.chosen(chosen), results.get(view.title))
    first = views[0]
    shown = results or {first.title: first.results(problem, first.chosen(chosen))}
    stills = [_still(view, shown[view.title]) for view in views if view.title in shown]
    return stills[0] if len(stills) == 1 else Stills(stills)


def _still(view: View, results: Results) -> Still:
    figure = view.figure()
    view.draw(figure, results)
    return Still(figure, results)
