"""The choice between a live explorer and a still picture."""

from workbench.explore.shell import Explorer
from workbench.explore.still import Still
from workbench.explore.view import Results, Values, View
from workbench.parameters import read_notebook
from workbench.problem import Problem
from workbench.recording import run_folder


def present(view: View, problem: Problem, values: Values, results: Results | None = None) -> Explorer | Still:
    """Return an explorer in a live session, a still picture while a report runs.

    Parameters
    ----------
    view : View
        The analysis.
    problem : Problem
        What is analysed.
    values : dict
        Initial values of some controls; the others start at the notebook's defaults.
    results : mapping of str to Result, optional
        What to show first. A report computes it if it is not given; an explorer waits for Run.

    Raises
    ------
    ValueError
        If a value is unknown or out of its range.
    """
    schema = read_notebook(view.notebook)
    chosen = {name: value for name, value in schema.validate(values).items() if name != "problem"}
    if run_folder() is None:
        return Explorer(view, schema, problem, chosen, results)
    shown = results if results is not None else view.compute(problem, chosen)
    figure = view.figure()
    view.draw(figure, shown)
    return Still(figure, shown)
