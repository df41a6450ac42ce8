"""Every Python block of README.md and docs/ runs, in order, in a folder of its own.

``<!-- file: NAME -->`` before a block saves it under that name instead, as the text tells the reader to.
"""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)


class Output:
    def __init__(self, logits):
        self.logits = logits


class LanguageModel(nn.Module):
    """Answers like a Hugging Face model."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 4), nn.Linear(4, 11)

    def forward(self, input_ids, labels=None):
        return Output(self.head(torch.tanh(self.embed(input_ids))))


def tokenized(length):
    tokens = torch.randint(0, 11, (6, length), generator=torch.Generator().manual_seed(length))
    labels = tokens.roll(-1, 1)
    labels[:, -1] = -100
    return {"input_ids": tokens, "labels": labels}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_RUN", raising=False)
    torch.manual_seed(0)
    namespace = {"nn": nn, "torch": torch, "model": LanguageModel(), "batches": [tokenized(5), tokenized(9)]}
    for block in BLOCK.finditer(document.read_text()):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["code"])
        else:
            exec(compile(block["code"], document.name, "exec"), namespace)


def test_the_readme_has_blocks():
    assert len(BLOCK.findall((ROOT / "README.md").read_text())) >= 3


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *sorted((ROOT / "data").glob("*.md"))], ids=lambda p: p.name
)
def test_links_to_files_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    for link in links:
        assert (document.parent / link).exists(), link
