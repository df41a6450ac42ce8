"""``judge``, ``judge_pictures``: tables of evidence for a few methods, at the layers that tell them apart."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from workbench.problem import Problem
from workbench.saliency.evidence import EvidenceTable, evidence_table
from workbench.saliency.experiments.examples import find_examples, located_photographs, usual_layers
from workbench.saliency.explainers import MapFunction, explainer


def judge(
    problem: Problem,
    methods: Sequence[str],
    layers: Sequence[str] | None = None,
    pictures: int = 10,
    *,
    steps: int = 16,
    score: str = "logit",
    seed: int = 0,
) -> EvidenceTable:
    """Measure methods at the last two layers by several metrics, beside maps that know nothing.

    Insertion, deletion and sparseness; on the photographs with boxes, if the network has
    the classes of ImageNet, also the pointing game and the energy in the box; otherwise on the first examples
    of the problem.

    Parameters
    ----------
    problem : Problem
        Its inputs are pictures.
    methods, layers, score
        See :func:`~workbench.saliency.explain`.
    pictures : int
        At most so many.
    steps : int
        Of insertion and deletion.
    seed : int
        Of the bootstrap and of the random floor.

    Returns
    -------
    EvidenceTable

    Notes
    -----
    Cost: 2 (steps + 1) forward passes, and a map, for each explainer and floor.
    """
    located = located_photographs(problem, pictures)
    if located is None:
        inputs = find_examples(problem, "all", pictures).inputs
        return judge_pictures(problem, inputs, None, methods, layers, steps=steps, score=score, seed=seed)
    metrics = {**_pixel_metrics(steps), "pointing_game": {"tolerance": 0}, "energy_pointing": {}}
    explainers = _explainers(problem, methods, layers, score)
    return evidence_table(
        problem.model, located.inputs, located.targets, explainers, metrics, located.boxes, seed=seed
    )


def judge_pictures(
    problem: Problem,
    inputs: Tensor,
    targets: Tensor | None,
    methods: Sequence[str],
    layers: Sequence[str] | None = None,
    *,
    steps: int = 16,
    score: str = "logit",
    seed: int = 0,
) -> EvidenceTable:
    """Measure methods on pictures of your own, by insertion, deletion and sparseness.

    Parameters
    ----------
    problem, methods, layers, steps, score, seed
        See :func:`judge`.
    inputs : Tensor (N, C, H, W)
        The pictures.
    targets : Tensor (N,), optional
        Classes that are explained; by default those that the network finds likeliest.

    Returns
    -------
    EvidenceTable
        Of one picture without intervals.

    Notes
    -----
    Cost: as for :func:`judge`.
    """
    explainers = _explainers(problem, methods, layers, score)
    return evidence_table(problem.model, inputs, targets, explainers, _pixel_metrics(steps), seed=seed)


def _explainers(
    problem: Problem, methods: Sequence[str], layers: Sequence[str] | None, score: str
) -> dict[str, MapFunction]:
    at = usual_layers(problem, layers)[-2:]
    return {f"{method} · {layer}": explainer(method, layer, score) for method in methods for layer in at}


def _pixel_metrics(steps: int) -> dict[str, dict[str, Any]]:
    return {"insertion": {"steps": steps}, "deletion": {"steps": steps}, "sparseness": {}}
