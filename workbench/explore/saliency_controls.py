"""Controls of saliency that know the problem: pictures, their likeliest classes, methods, layers."""

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from workbench.explore.lists import PickOrType, pick_one, pick_several
from workbench.parameters import Parameter
from workbench.problem import Problem
from workbench.problems.images import list_images
from workbench.saliency import METHODS
from workbench.saliency.capture import INPUT
from workbench.saliency.experiments import find_examples, rank_classes
from workbench.saliency.layers import default_layers, outer_layers

Controls = Mapping[str, widgets.Widget]

_LISTED = 60  # examples in the menu, at most; any other is named by its number
_CLASSES = 5


def picture_menu(parameter: Parameter, value: Any, problem: Problem, controls: Controls) -> widgets.Widget:
    """The problem's examples, the built-in photographs where they fit, and a field for a file."""
    found = find_examples(problem, "all", _LISTED)
    options = [(name, str(number)) for number, name in enumerate(found.names)]
    if found.inputs.shape[1] == 3:
        options += [(name, name) for name in list_images() if name not in found.names]
    return PickOrType(parameter, value, options, "another: number or file", "number, file")


def class_list(parameter: Parameter, value: Any, problem: Problem, controls: Controls) -> widgets.Select:
    """The likeliest classes of the picture that is picked, by name; they follow the picture."""

    def options() -> list[tuple[str, int]]:
        try:
            shown = find_examples(problem, controls["picture"].value, count=1)
        except ValueError:  # no such file: Run says so in one line
            return [(f"number {place}", place) for place in range(1, _CLASSES + 1)]
        classes = rank_classes(problem, shown, count=_CLASSES)
        shares = classes.probabilities[0].tolist()
        return [
            (f"{name} ({share:.2g})", place)
            for place, (name, share) in enumerate(zip(classes.names[0], shares, strict=True), start=1)
        ]

    def follow(change: Any) -> None:
        chosen, found = control.value, options()
        control.options = found
        control.value = min(chosen, len(found))

    control = pick_one(parameter, value, options())
    control.description = "class"
    controls["picture"].observe(follow, names="value")
    return control


def method_list(parameter: Parameter, value: Any, problem: Problem, controls: Controls) -> widgets.Widget:
    """All methods that have a name."""
    return pick_several(parameter, value, list(METHODS))


def layer_list(parameter: Parameter, value: Any, problem: Problem, controls: Controls) -> widgets.Widget:
    """The input and the layers to choose from, without the insides of blocks; at first the usual ones."""
    inputs = find_examples(problem, "0").inputs
    usual = default_layers(problem.model, inputs)
    return pick_several(
        parameter, usual if value is None else value, [INPUT, *outer_layers(problem.model, inputs)]
    )
