import pytest
import torch

from workbench.problems import datasets
from workbench.problems.characters import alphabet, decode, encode


def test_codes_are_those_of_the_problem() -> None:
    codes, _, characters = datasets.text()
    assert alphabet() == characters
    assert len(set(alphabet())) == 94
    text = decode(codes[:200])
    assert torch.equal(encode(text), codes[:200])


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="'naïve' is not text that text-gpt can read: it does not know 'ï'"):
        encode("naïve")
    with pytest.raises(ValueError, match="'' is empty"):
        encode("")
