"""``explain_text``: the part of each character in what ``text-gpt`` expects next."""

import torch
from torch import Tensor

from workbench.problem import Problem
from workbench.problems.datasets import text as prose
from workbench.saliency.token_explanation import explain_tokens
from workbench.saliency.token_maps import TokenMaps


def explain_text(
    problem: Problem,
    text: str,
    *,
    rank: int = 1,
    score: str = "logit",
) -> TokenMaps:
    """Score the characters of a text by their part in the next one.

    Parameters
    ----------
    problem : Problem
        ``text-gpt``, or another with its alphabet.
    text : str
        Of at most as many characters as the model looks back on, 64 by default; the last ones of a longer one
        are taken.
    rank : int
        Which of the likeliest next characters is explained, 1 for the first.
    score : str
        See :func:`~workbench.saliency.explain_tokens`, whose usual methods and layers are taken.

    Raises
    ------
    ValueError
        If the text is empty or has a character that is not in the alphabet.
    """
    alphabet = prose()[2]
    codes = encode(text, alphabet)[-_context(problem) :]
    with torch.no_grad():
        logits = problem.model(codes[None])[0, :, -1]
    target = int(logits.argsort(descending=True)[rank - 1])
    return explain_tokens(problem.model, codes, -1, target, score=score, names=list(alphabet), class_dim=1)


def encode(text: str, alphabet: str) -> Tensor:
    """Codes (T,) of the characters of a text.

    Raises
    ------
    ValueError
        If it is empty or has a character that is not in the alphabet.
    """
    if not text:
        raise ValueError("text is empty: give at least one character")
    for character in text:
        if character not in alphabet:
            raise ValueError(f"text has {character!r}, which is not among the characters {alphabet!r}")
    return torch.tensor([alphabet.index(character) for character in text])


def _context(problem: Problem) -> int:
    return int(problem.small_batch(1)[0].shape[1])


def token_names(problem: Problem) -> list[str] | None:
    """Return how to write each code of a problem's texts: the characters of ``text-gpt``, else None."""
    return list(prose()[2]) if problem.name == "text-gpt" else None
