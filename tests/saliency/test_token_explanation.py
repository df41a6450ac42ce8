"""Scores of tokens against closed forms, finite differences and a model split by hand."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.problems.text_gpt import GPT
from workbench.saliency import METHODS, explain_tokens
from workbench.saliency.token_explanation import default_token_layers

LETTERS = "abcdefghijk"


def gpt(blocks: int = 2) -> GPT:
    torch.manual_seed(0)
    return GPT(len(LETTERS), 9, 16, blocks).double().eval().apply(_enlarge)


def _enlarge(module: nn.Module) -> None:
    """Larger weights than at initialisation, so that no score is near 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        module.weight.data.mul_(8)


def codes(count: int = 2, length: int = 7) -> Tensor:
    return torch.randint(len(LETTERS), (count, length), generator=torch.Generator().manual_seed(1))


def logits_from_embeddings(model: GPT, embedded: Tensor) -> Tensor:
    """The model from its embedded tokens on: logits (N, T, classes)."""
    tokens = embedded + model.position[: embedded.shape[1]]
    return model.norm(model.blocks(tokens)) @ model.embedding.weight.T


class SumOfTokens(nn.Module):
    """Logits at every position: the sum of all embeddings, times a matrix; as (N, T, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), 4)
        self.output = nn.Linear(4, 5, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.embedding(tokens).sum(1))[:, None].expand(-1, tokens.shape[1], -1)


def test_closed_forms_of_a_linear_model() -> None:
    """The gradient of each token is the row of its class, and gradient × input adds up to the logit."""
    torch.manual_seed(0)
    model, tokens = SumOfTokens().double(), codes()
    found = explain_tokens(model, tokens, 3, [2, 4], layers="embedding")
    rows = model.output.weight[[2, 4]].detach()
    expected = rows.norm(dim=1)[:, None, None].expand(2, 1, 7)
    torch.testing.assert_close(found.select("gradient_norm", "embedding"), expected)
    embedded = model.embedding(tokens).detach()
    products = torch.einsum("ntc,nc->nt", embedded, rows)[:, None]
    torch.testing.assert_close(found.select("gradient_times_input", "embedding"), products)
    torch.testing.assert_close(found.select("gradient_times_input", "embedding").sum(2), found.scores)
    norms = (embedded.norm(dim=2) * rows.norm(dim=1)[:, None])[:, None]
    torch.testing.assert_close(found.select("norm_grad", "embedding"), norms)


@pytest.mark.parametrize("score", ["logit", "probability", "loss"])
def test_gradient_times_embedding_is_the_slope_of_the_score_along_it(score: str) -> None:
    model, tokens = gpt(), codes()
    found = explain_tokens(model, tokens, 5, 3, score=score).select("gradient_times_input", "embedding")
    embedded, step = model.embedding(tokens).detach(), 1e-5

    def value(moved: Tensor) -> Tensor:
        logits = logits_from_embeddings(model, moved)[:, 5]
        if score == "logit":
            return logits[:, 3]
        return logits.softmax(1)[:, 3] if score == "probability" else logits.log_softmax(1)[:, 3]

    with torch.no_grad():
        for place in range(7):
            shift = torch.zeros_like(embedded)
            shift[:, place] = step * embedded[:, place]
            slope = (value(embedded + shift) - value(embedded - shift)) / (2 * step)
            torch.testing.assert_close(found[:, 0, place], slope, rtol=1e-6, atol=1e-9)


def test_several_layers_and_targets_are_those_of_the_model_split_by_hand() -> None:
    model, tokens = gpt(), codes()
    targets = torch.tensor([[1, 5, 0], [2, 2, 10]])
    found = explain_tokens(model, tokens, -2, targets)
    assert found.layers == ("embedding", "blocks.0", "blocks.1")
    assert (found.position, found.forwards, found.backwards) == (5, 1, 3)
    x = model.blocks[0](model.embedding(tokens) + model.position[:7]).detach().requires_grad_()
    logits = (model.norm(model.blocks[1](x)) @ model.embedding.weight.T)[:, 5]
    for k in range(3):
        (g,) = torch.autograd.grad(logits.gather(1, targets[:, k : k + 1]).sum(), x, retain_graph=True)
        expected = x.norm(dim=2) * g.norm(dim=2)
        torch.testing.assert_close(found.select("norm_grad", "blocks.0")[:, k], expected, rtol=1e-10, atol=0)
        torch.testing.assert_close(found.select("gradient_norm", "blocks.0")[:, k], g.norm(dim=2))
    torch.testing.assert_close(found.scores, logits.gather(1, targets).detach())


def test_what_comes_later_has_no_part_and_the_last_block_mixes_no_tokens() -> None:
    found = explain_tokens(gpt(), codes(), 4)
    for layer in found.layers:
        values = found.select("norm_grad", layer)[:, 0]
        assert (values[:, 5:] == 0).all()
        assert (values[:, 4] > 0).all()
        assert (values[:, :4] > 0).all() == (layer != "blocks.1")
    assert (found.select("norm_grad", "blocks.1")[:, 0, :4] == 0).all()


def test_the_most_likely_class_is_taken_and_texts_do_not_mix() -> None:
    model, tokens = gpt(), codes(3)
    found = explain_tokens(model, tokens)
    assert torch.equal(found.targets[:, 0], model(tokens)[:, :, -1].argmax(1))
    for n in range(3):
        alone = explain_tokens(model, tokens[n])
        torch.testing.assert_close(alone.values[:, :, 0], found.values[:, :, n], rtol=1e-10, atol=1e-14)


def test_either_order_of_the_outputs_is_read() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gpt = gpt()

        def forward(self, tokens: Tensor) -> Tensor:
            return self.gpt(tokens).transpose(1, 2)

    model = Turned().eval()
    plain = explain_tokens(model.gpt, codes(), 2, 1)
    turned = explain_tokens(model, codes(), 2, 1)
    assert turned.layers == ("gpt.embedding", "gpt.blocks.0", "gpt.blocks.1")
    assert torch.equal(turned.values, plain.values)

    torch.manual_seed(0)
    square = SumOfTokens().double()  # 5 classes
    with pytest.raises(ValueError, match=r"do not say which dimension is that of the 5 tokens"):
        explain_tokens(square, codes(2, 5), layers="embedding")
    found = explain_tokens(square, codes(2, 5), 0, 3, layers="embedding", class_dim=2)
    torch.testing.assert_close(found.scores[:, 0], square(codes(2, 5))[:, 0, 3].detach())


def test_the_model_is_left_as_it_was() -> None:
    model = gpt()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        explain_tokens(model, codes())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_default_layers() -> None:
    assert default_token_layers(gpt(3)) == ("embedding", "blocks.0", "blocks.1", "blocks.2")
    assert default_token_layers(SumOfTokens()) == ("embedding",)
    with pytest.raises(ValueError, match=r"no nn\.Embedding: name layers="):
        default_token_layers(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"position": 7}, ValueError, "position=7 is out of range: it must be from -7 to 6"),
        ({"position": 1.0}, TypeError, "position=1.0 is a float"),
        ({"target": 11}, ValueError, "target=11 is out of range"),
        ({"methods": []}, ValueError, "methods is empty"),
        ({"layers": []}, ValueError, "layers is empty"),
        ({"methods": ["norm_grad", "norm_grad"]}, ValueError, "'norm_grad' is given twice"),
        ({"methods": "gradnorm"}, ValueError, "'gradnorm' is none of"),
        ({"methods": ["norm_grad", "guided"]}, ValueError, "method 'guided' is for images"),
        ({"methods": "norm_grad_without_virtual_layer"}, ValueError, "is for images"),
        ({"layers": "block.0"}, ValueError, "'block.0' is none of the model's"),
        ({"layers": "blocks.0.attention.queries_keys_values.x"}, ValueError, "is none of"),
        ({"score": "logits"}, ValueError, "did you mean 'logit'"),
        ({"names": "abc"}, ValueError, "names has 3 entries, and there is a code"),
        ({"class_dim": 2}, ValueError, "class_dim=2 does not fit"),
        ({"tokens": torch.ones(2, 7)}, TypeError, r"tokens are torch\.float32"),
        ({"tokens": [1, 2]}, TypeError, "tokens are list"),
        ({"tokens": torch.ones(2, 7, 1).long()}, ValueError, r"shape \(2, 7, 1\)"),
        ({"tokens": torch.ones(0).long()}, ValueError, r"shape \(0,\)"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        explain_tokens(**({"model": gpt(), "tokens": codes()} | keywords))


def test_models_without_logits_per_token_are_refused() -> None:
    class Pooled(SumOfTokens):
        def forward(self, tokens: Tensor) -> Tensor:
            return super().forward(tokens)[:, 0]

    with pytest.raises(ValueError, match=r"returns \(2, 5\), not logits \(N, T, classes\)"):
        explain_tokens(Pooled(), codes(), layers="embedding")
    with pytest.raises(ValueError, match=r"layer 'output' returns \(2, 5\), not \(N, T, C\)"):
        explain_tokens(SumOfTokens(), codes(), layers="output")


def test_a_layer_that_leads_nowhere_is_refused() -> None:
    class TwoEmbeddings(SumOfTokens):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Embedding(len(LETTERS), 4)

        def forward(self, tokens: Tensor) -> Tensor:
            self.other(tokens)
            return super().forward(tokens)

    with pytest.raises(ValueError, match="does not depend on layer 'other'"):
        explain_tokens(TwoEmbeddings(), codes(), layers=["embedding", "other"])


def test_all_methods_of_the_true_gradient_are_taken() -> None:
    true = [method for method in METHODS.values() if method.rule == "true"]
    names = [method.name for method in true if method.extract != "real" and method.gradient != "sum"]
    found = explain_tokens(gpt(), codes(), methods=names)
    assert found.methods == tuple(names)
    assert found.values.isfinite().all()


def test_blocks_that_have_names_are_found_by_them() -> None:
    model = nn.Module()
    model.embedding = nn.Embedding(3, 4)
    model.blocks = nn.Sequential(OrderedDict(first=nn.Linear(4, 4), second=nn.Linear(4, 4)))
    assert default_token_layers(model) == ("embedding", "blocks.first", "blocks.second")
