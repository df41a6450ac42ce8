"""The characters of ``text-gpt``: from text to codes and back."""

from functools import cache

import torch
from torch import Tensor

from workbench.problems.datasets import text


@cache
def alphabet() -> str:
    """Return the 94 characters that ``text-gpt`` knows; a character's code is its place among them."""
    return text()[2]


def encode(words: str) -> Tensor:
    """Return the codes (T,) of a text; the model of ``text-gpt`` takes them as (1, T), T at most its context.

    Raises
    ------
    ValueError
        If it is empty, or has a character that is not in the alphabet.
    """
    known = alphabet()
    unknown = next((character for character in words if character not in known), None)
    if unknown is not None or not words:
        what = "empty" if not words else f"not text that text-gpt can read: it does not know {unknown!r}"
        raise ValueError(f"{words[:40]!r} is {what}")
    return torch.tensor([known.index(character) for character in words])


def decode(codes: Tensor) -> str:
    """Return the text of codes (T,)."""
    return "".join(alphabet()[code] for code in codes.tolist())
