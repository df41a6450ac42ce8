"""``text_evidence``: do maps of a text name the characters whose replacement moves the score?"""

import numpy as np
import torch
from torch import Tensor, nn

from workbench.choices import check_count
from workbench.problem import Problem
from workbench.progress import progress
from workbench.saliency.evidence import Evidence, EvidenceTable, compare_maps
from workbench.saliency.token_explanation import (
    DEFAULT_METHODS,
    default_token_layers,
    explain_tokens,
    last_logits,
)

METRIC, RECENCY = "agreement with replacement", "the later, the more"


def text_evidence(
    problem: Problem, texts: int = 16, *, replacements: int = 4, seed: int = 0
) -> EvidenceTable:
    """Rank correlation of maps at the embedding with what replacing each character does to the score.

    For each character of a text, other ones are put in its place, drawn alike from the alphabet; its effect
    is the mean size of the change of the likeliest next character's logit. A map that names what counts has
    large sizes where the effect is large. The floor is a map that grows along the text and knows nothing
    else.

    Parameters
    ----------
    problem : Problem
        Examples are texts (N, T) of codes; outputs are logits (N, alphabet, T) or (N, T, alphabet).
    texts : int
        How many of its windows, at most those of its first batch.
    replacements : int
        For each character.
    seed : int
        Of the replacements and of the bootstrap.

    Returns
    -------
    EvidenceTable
        One metric of the usual methods for tokens, and of the floor.

    Notes
    -----
    Cost: (T × replacements + 1) forward passes over the texts, and one backward pass.
    """
    check_count("texts", texts)
    check_count("replacements", replacements)
    codes = problem.small_batch(texts)[0]
    layer = default_token_layers(problem.model)[0]
    maps = explain_tokens(problem.model, codes, layers=[layer])
    effects = replacement_effects(problem.model, codes, maps.targets[:, 0], replacements, seed)
    sizes = {name: maps.select(name, layer)[:, 0].abs() for name in DEFAULT_METHODS}
    later = torch.arange(codes.shape[1], dtype=effects.dtype).expand_as(effects)
    evidence = {
        name: {METRIC: _agreement(map_, effects, seed)} for name, map_ in {**sizes, RECENCY: later}.items()
    }
    return EvidenceTable(evidence, (RECENCY,))


@torch.no_grad()
def replacement_effects(
    model: nn.Module, codes: Tensor, targets: Tensor, replacements: int, seed: int
) -> Tensor:
    """Mean size of the change of the targets' last logits (N, T) as each character becomes another one."""
    count, length = codes.shape
    outputs = last_logits(model(codes), length)
    alphabet, rows = outputs.shape[1], torch.arange(count)
    before = outputs[rows, targets]
    random = torch.Generator().manual_seed(seed)
    effects = torch.zeros(count, length)
    with progress("replacements", length) as advance:
        for place in range(length):
            for _ in range(replacements):
                # an offset from 1 to alphabet - 1 leads to each of the other characters alike
                offset = torch.randint(1, alphabet, (count,), generator=random)
                changed = codes.clone()
                changed[:, place] = (codes[:, place] + offset) % alphabet
                after = last_logits(model(changed), length)[rows, targets]
                effects[:, place] += (after - before).abs() / replacements
            advance(1)
    return effects


def _agreement(maps: Tensor, effects: Tensor, seed: int) -> Evidence:
    values: np.ndarray = compare_maps(maps[:, None].to(effects), effects[:, None], "spearman")
    return Evidence(
        metric=METRIC,
        values=values,
        better="higher",
        notes=("rank correlation over the characters of a text",),
        seed=seed,
    )
