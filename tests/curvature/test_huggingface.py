"""Models of Hugging Face through ``forward=`` and ``targets=``, built from configurations without a download.

Held against plain calls of the model and first derivatives: the Hessian is a difference of gradients, the
Gauss-Newton matrix the gradient for a difference of logits, the Fisher matrix made of gradients of single
examples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import workbench as wb

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'training-workbench[huggingface]'"
)

STEPS = (1e-4, 1e-5, 1e-6)


@dataclass
class Setting:
    """A model with its batches; ``logits`` are (examples, classes, ...) as the cross entropy wants."""

    model: nn.Module
    batches: list[Any]
    logits: Callable[[nn.Module, Any], Tensor]

    def problem(self) -> wb.Problem:
        return wb.Problem(
            self.model,
            nn.CrossEntropyLoss(),
            self.batches,
            forward=self.logits,
            targets=lambda batch: batch["labels"],
        )

    @property
    def parameters(self) -> list[Tensor]:
        return list(self.model.parameters())

    def at(self, theta: Tensor, function: Callable[[], Any]) -> Any:
        before = nn.utils.parameters_to_vector(self.parameters).detach().clone()
        nn.utils.vector_to_parameters(theta, self.parameters)
        result = function()
        nn.utils.vector_to_parameters(before, self.parameters)
        return result

    def all_logits(self) -> list[Tensor]:
        """Logits (kept tokens, classes) of each batch."""
        found = []
        for batch in self.batches:
            logits = self.logits(self.model, batch).movedim(1, -1)
            found.append(logits[batch["labels"] != -100])
        return found

    @property
    def targets(self) -> Tensor:
        return torch.cat([batch["labels"][batch["labels"] != -100] for batch in self.batches])

    def pulled(self, covectors: Tensor) -> Tensor:
        """Jᵀ times covectors (kept tokens, classes)."""
        return flat(torch.autograd.grad(torch.cat(self.all_logits()), self.parameters, covectors, **UNUSED))

    def gradient(self) -> Tensor:
        loss = F.cross_entropy(torch.cat(self.all_logits()), self.targets)
        return flat(torch.autograd.grad(loss, self.parameters, **UNUSED))


UNUSED: Any = {"allow_unused": True, "materialize_grads": True}


def flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def gpt2(attention: str) -> Setting:
    """Causal language modelling, unequal batches, tokens left out."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=7, n_positions=6, n_embd=4, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        attn_implementation=attention,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).double().eval()
    batches = []
    for examples, length in ((2, 6), (1, 4)):
        tokens = torch.randint(0, 7, (examples, length))
        labels = tokens.roll(-1, 1)
        labels[:, -1] = labels[0, 0] = -100
        batches.append({"input_ids": tokens, "labels": labels})

    def logits(model: nn.Module, batch: Any) -> Tensor:
        return model(batch["input_ids"], use_cache=False).logits.transpose(1, 2)

    return Setting(model, batches, logits)


def bert(attention: str) -> Setting:
    """Classification of padded sequences, as a tokenizer gives them."""
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=7, hidden_size=4, num_hidden_layers=2, num_attention_heads=2, intermediate_size=6,
        max_position_embeddings=6, num_labels=3, attn_implementation=attention,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config).double().eval()
    batches = []
    for examples, length in ((3, 5), (2, 4)):
        mask = torch.ones(examples, length, dtype=torch.long)
        mask[0, -2:] = 0
        tokens = torch.randint(1, 7, (examples, length)) * mask
        labels = torch.randint(0, 3, (examples,))
        held = {"input_ids": tokens, "attention_mask": mask, "labels": labels}
        batches.append(transformers.BatchEncoding(held))
    return Setting(model, batches, lambda model, batch: model(**batch).logits)


@pytest.fixture(params=["gpt2 sdpa", "gpt2 eager", "bert sdpa", "bert eager"])
def setting(request: pytest.FixtureRequest) -> Setting:
    name, attention = request.param.split()
    made = {"gpt2": gpt2, "bert": bert}[name](attention)
    for parameter in made.parameters:  # no zero bias hides anything
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return made


def nearest(product: Tensor, candidates: list[Tensor]) -> float:
    return min(float((candidate - product).norm() / candidate.norm()) for candidate in candidates)


def test_hessian_and_ggn_are_what_differences_say(setting: Setting) -> None:
    problem = setting.problem()
    theta = problem.parameters_vector()
    torch.testing.assert_close(problem.gradient(), setting.gradient())
    torch.manual_seed(2)
    vector = torch.randn_like(theta)
    hessians, ggns = [], []
    probabilities = torch.cat(setting.all_logits()).detach().softmax(1)
    for step in STEPS:
        ends = [setting.at(theta + s * vector, setting.gradient) for s in (step, -step)]
        hessians.append((ends[0] - ends[1]) / (2 * step))
        ends = [setting.at(theta + s * vector, lambda: torch.cat(setting.all_logits()).detach())
                for s in (step, -step)]  # fmt: skip
        pushed = probabilities * (ends[0] - ends[1]) / (2 * step)
        curved = pushed - probabilities * pushed.sum(1, keepdim=True)
        ggns.append(setting.pulled(curved / len(curved)))
    assert nearest(wb.curvature.hessian(problem) @ vector, hessians) < 1e-6
    assert nearest(wb.curvature.ggn(problem) @ vector, ggns) < 1e-6
    assert nearest(hessians[0], ggns) > 1e-2  # they are not the same matrix here


def test_fisher_is_made_of_the_gradients_of_single_examples(setting: Setting) -> None:
    problem = setting.problem()
    torch.manual_seed(3)
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    total, weight = torch.zeros_like(vector), 0
    for batch in setting.batches:
        for i in range(len(batch["labels"])):
            example = {name: tensor[i : i + 1] for name, tensor in batch.items()}
            alone = Setting(setting.model, [example], setting.logits)
            kept = len(alone.targets)
            gradient = alone.gradient()
            total += kept * gradient * (gradient @ vector)
            weight += kept
    torch.testing.assert_close(wb.curvature.fisher(problem) @ vector, total / weight, rtol=1e-9, atol=1e-11)
