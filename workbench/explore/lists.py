"""Lists to pick from, for parameters whose values a view can name: one, several, or one of them or a text."""

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import traitlets

from workbench.explore.controls import CONTROL_LAYOUT, CONTROL_STYLE
from workbench.parameters import Parameter

_OTHER = ""  # not None, for which a menu would show nothing
_ROWS = 8  # of a list that are seen at once, at most


def pick_one(parameter: Parameter, value: Any, options: Sequence[tuple[str, Any]]) -> widgets.Select:
    """Return a list of names, one of which is picked; the first if none has the value."""
    known = [each for _, each in options]
    return widgets.Select(
        options=options, value=value if value in known else known[0], rows=len(options), **_common(parameter)
    )


def pick_several(
    parameter: Parameter, value: Sequence[str], options: Sequence[str]
) -> widgets.SelectMultiple:
    """Return a list of names, several of which are picked; a value that is none of them comes last.

    So what is refused can be seen, and be left out by a click.
    """
    names = list(dict.fromkeys([*options, *value]))
    common = _common(parameter)
    common["tooltip"] += " (Ctrl or Shift with a click picks several)"
    control = widgets.SelectMultiple(options=names, value=tuple(value), rows=min(len(names), _ROWS), **common)

    def count(change: Any = None) -> None:
        control.description = f"{parameter.name} ({len(control.value)})"  # some may be scrolled out of sight

    count()
    control.observe(count, names="value")
    return control


class PickOrType(widgets.VBox):
    """A menu whose last entry opens a field for a text of one's own.

    Parameters
    ----------
    parameter : Parameter
    value : str
        What is picked at first, or stands in the field.
    options : sequence of (label, value)
    other : str
        What the last entry is called.
    label : str
        The name of the field.

    Attributes
    ----------
    value : str
        What was picked or typed.
    """

    value = traitlets.Unicode()

    def __init__(
        self, parameter: Parameter, value: str, options: Sequence[tuple[str, str]], other: str, label: str
    ) -> None:
        known = {**dict(options), **{each: each for _, each in options}}
        picked = known.get(value, _OTHER)
        self.menu = widgets.Dropdown(options=[*options, (other, _OTHER)], value=picked, **_common(parameter))
        self.field = widgets.Text(
            value=value if picked == _OTHER else "",
            continuous_update=False,
            **{**_common(parameter), "description": label},
        )
        super().__init__(layout={"width": "auto", "overflow": "visible"})
        self._update()
        self.menu.observe(lambda _: self._update(), names="value")
        self.field.observe(lambda _: self._update(), names="value")

    def _update(self) -> None:
        own = self.menu.value == _OTHER
        self.children = (self.menu, self.field) if own else (self.menu,)
        self.value = self.field.value if own else self.menu.value


def _common(parameter: Parameter) -> dict[str, Any]:
    return {
        "description": parameter.name,
        "tooltip": parameter.meaning,
        "layout": CONTROL_LAYOUT,
        "style": CONTROL_STYLE,
    }
