"""The printable picture of named results: their own plots, side by side."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from workbench.result import Result


def picture(results: Mapping[str, Result], *, width: float = 5.5, height: float = 4.2) -> Figure:
    """Draw each result's plot into one figure that pyplot does not keep, so that any thread may ask.

    Parameters
    ----------
    results : mapping of str to Result
        By name, from left to right.
    width, height : float
        Of each plot, in inches.
    """
    figure = Figure(figsize=(width * len(results), height), layout="constrained")
    for axes, result in zip(
        figure.subplots(1, len(results), squeeze=False)[0], results.values(), strict=True
    ):
        result.plot(axes)
    return figure
