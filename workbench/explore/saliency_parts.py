"""What the views of saliency share: the picture, its classes, the combination, their code, and the cost."""

import time

from workbench.explore.view import Cost, Values
from workbench.problem import Problem
from workbench.saliency import Combination, explain
from workbench.saliency.experiments import ClassRanking, Examples, find_examples, rank_classes

_BYTES = 300  # that activations and gradients take for each byte of a picture, at a guess


def shown_picture(problem: Problem, values: Values) -> tuple[Examples, ClassRanking]:
    """Return the picture that the controls ask for, the first of a folder, and its likeliest classes."""
    shown = find_examples(problem, values["picture"], count=1)
    return shown, rank_classes(problem, shown, values["rank"])


def picture_code(values: Values) -> str:
    """Return the calls that give the same picture and classes, from ``problem`` on."""
    return (
        "import workbench as wb\n"
        "from workbench.saliency import experiments\n\n"
        f"shown = experiments.find_examples(problem, {values['picture']!r}, count=1)\n"
        f"classes = experiments.rank_classes(problem, shown, {values['rank']})\n"
    )


def combination_of(values: Values) -> Combination | None:
    """Return what the controls ``combination`` and ``weights`` mean."""
    if values["combination"] == "none":
        return None
    return Combination(values["combination"], values["weights"])


def passes_cost(problem: Problem, passes: float, pictures: int = 1) -> Cost:
    """What so many forward and backward passes of so many pictures are expected to take."""
    inputs = find_examples(problem, "0").inputs
    taken = []
    for _ in range(2):  # the first pass of a process takes longer than any other
        started = time.monotonic()
        explain(problem.model, inputs, 0, "gradient", "input")
        taken.append(time.monotonic() - started)
    seconds = min(taken)
    return Cost(seconds * passes * pictures, _BYTES * pictures * inputs.numel() * inputs.element_size())
