"""``judge``: a table of evidence for a few methods, at the layers where they are told apart."""

from collections.abc import Sequence
from typing import Any

from workbench.problem import Problem
from workbench.saliency.evidence import EvidenceTable, evidence_table
from workbench.saliency.experiments.examples import find_examples, located_photographs, usual_layers
from workbench.saliency.explainers import explainer


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
    at = usual_layers(problem, layers)[-2:]
    explainers = {
        f"{method} · {layer}": explainer(method, layer, score) for method in methods for layer in at
    }
    metrics: dict[str, dict[str, Any]] = {
        "insertion": {"steps": steps},
        "deletion": {"steps": steps},
        "sparseness": {},
    }
    located = located_photographs(problem, pictures)
    if located is None:
        inputs = find_examples(problem, "all", pictures).inputs
        return evidence_table(problem.model, inputs, None, explainers, metrics, seed=seed)
    metrics |= {"pointing_game": {"tolerance": 0}, "energy_pointing": {}}
    return evidence_table(
        problem.model, located.inputs, located.targets, explainers, metrics, located.boxes, seed=seed
    )
