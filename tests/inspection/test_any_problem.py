"""All four inspections of models of many kinds: none crashes, and what does not apply has its reason."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from custom_functions import Square
from torch import Tensor, nn

import workbench as wb
from workbench.inspection import activity, barriers, describe_problem, gradient_statistics


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(Square.apply(self.one(x)))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.norm, self.up = nn.GroupNorm(2, 4), nn.ConvTranspose2d(4, 2, 2, 2)
        self.last = nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.norm(self.deep(F.relu(self.down(x)))))
        return self.last(torch.cat([self.up(hidden), x], dim=1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cells, self.head = (
            nn.Embedding(9, 4),
            nn.GRU(4, 5, 2, batch_first=True),
            nn.Linear(5, 2),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.cells(self.embed(tokens))[0][:, -1])


class Output:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class Language(nn.Module):
    """A transformer that takes and returns what those of Hugging Face do, its embedding tied."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.place = nn.Parameter(torch.randn(6, 8))
        block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Output:
        hidden = self.embed(input_ids) + self.place
        return Output(self.head(self.blocks(hidden, src_key_padding_mask=attention_mask == 0)))


def custom() -> wb.Problem:
    data = torch.randn(12, 4), torch.arange(12) % 3
    return wb.Problem(Custom(), nn.CrossEntropyLoss(), data)


def unet() -> wb.Problem:
    batches = [(torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8)) for _ in range(3)]
    return wb.Problem(UNet(), nn.MSELoss(), batches)


def recurrent() -> wb.Problem:
    """Batches of different lengths."""
    batches = [(torch.randint(0, 9, (4, length)), torch.arange(4) % 2) for length in (3, 5, 6)]
    return wb.Problem(Recurrent(), nn.CrossEntropyLoss(), batches)


def frozen() -> wb.Problem:
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    body.requires_grad_(False)
    model = nn.Sequential(body, nn.Linear(64, 3)).eval()
    return wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(12, 1, 6, 6), torch.arange(12) % 3))


def contrastive() -> wb.Problem:
    """A loss that compares the examples of a batch."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        unit = F.normalize(outputs, dim=1)
        return F.cross_entropy(unit @ unit.T / 0.5, targets)

    batches = [(torch.randn(6, 4), torch.arange(6).roll(1)) for _ in range(4)]
    return wb.Problem(nn.Linear(4, 3), loss, batches, weight="batch")


def half() -> wb.Problem:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).bfloat16()
    return wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(12, 4).bfloat16(), torch.arange(12) % 3))


def masked() -> wb.Problem:
    """Most labels do not count, and tokens at the end are padding."""
    batches = []
    for _ in range(3):
        tokens, labels = torch.randint(0, 11, (4, 6)), torch.full((4, 6), -100)
        labels[:, 1::2] = tokens[:, 1::2]
        mask = torch.ones(4, 6, dtype=torch.long)
        mask[0, 4:] = 0
        batches.append({"input_ids": tokens, "attention_mask": mask, "labels": labels})

    def forward(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return model(batch["input_ids"], batch["attention_mask"]).logits.transpose(1, 2)

    return wb.Problem(
        Language(), nn.CrossEntropyLoss(), batches, forward=forward, targets=lambda batch: batch["labels"]
    )


def language_model(kind: str) -> wb.Problem:
    transformers = pytest.importorskip("transformers")
    sizes = {"gpt2": {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 8, "vocab_size": 11}}
    sizes["bert"] = {
        "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 8, "vocab_size": 11, "hidden_act": "relu",
    }  # fmt: skip
    config = {"gpt2": transformers.GPT2Config, "bert": transformers.BertConfig}[kind](**sizes[kind])
    name = {"gpt2": "GPT2LMHeadModel", "bert": "BertForMaskedLM"}[kind]
    model = getattr(transformers, name)(config).eval()
    tokens = [torch.randint(0, 11, (4, 6)) for _ in range(2)]
    return wb.Problem(
        model,
        nn.CrossEntropyLoss(),
        [{"input_ids": each, "labels": each.roll(-1, 1)} for each in tokens],
        forward=lambda model, batch: model(input_ids=batch["input_ids"]).logits.flatten(0, 1),
        targets=lambda batch: batch["labels"].flatten(),
    )


MAKERS: dict[str, Callable[[], wb.Problem]] = {
    **{make.__name__: make for make in (custom, unet, recurrent, frozen, contrastive, half, masked)},
    "gpt2": lambda: language_model("gpt2"),
    "bert": lambda: language_model("bert"),
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_any_problem_can_be_inspected(name: str, tmp_path: Any) -> None:
    torch.manual_seed(0)
    problem = MAKERS[name]()
    before = copy.deepcopy(problem.model.state_dict())
    moved = {key: t + 0.1 if t.is_floating_point() else t.clone() for key, t in before.items()}
    found = [
        describe_problem(problem),
        gradient_statistics(problem, batch_size=3, batches=4),
        activity(problem),
        barriers(problem.with_checkpoints([before, moved]), points=3),
    ]
    for result in found:
        again = wb.load_result(result.save(tmp_path / "result.npz"))
        assert again.summary() == result.summary()
        assert len(result.frame())
        result.plot()
    description, gradients, seen, lines = found
    assert description.data.loss == pytest.approx(problem.loss_at(), rel=1e-5)
    assert gradients.whole.norm == pytest.approx(problem.gradient().norm().item(), rel=1e-4)
    assert np.isfinite(gradients.whole.noise.value)
    assert (seen.rms > 0).all()
    assert lines.lines[0].loss[0] == pytest.approx(problem.loss_at(), rel=1e-2)
    after = problem.model.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    metrics = {"unet": "R²", "contrastive": ""}
    assert description.data.metric == metrics.get(name, "accuracy")
