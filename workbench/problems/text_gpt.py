"""``text-gpt``: a character-level GPT on English prose."""

import numpy as np
import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems import transformer
from workbench.problems.datasets import SPLITS, Dataset, Split, text
from workbench.problems.recipe import Recipe
from workbench.problems.transformer import ATTENTION_KINDS, HEAD_WIDTH, AttentionKind, Block
from workbench.training import accuracy


def text_gpt(
    *,
    width: int = 64,
    blocks: int = 3,
    context: int = 64,
    attention: AttentionKind = "softmax",
    windows: int = 256,
    epochs: int = 5,
    seed: int = 0,
    split: Split = "train",
) -> Problem:
    """Character-level GPT on English prose about Python (data card: ``text.md``).

    Parameters
    ----------
    width : int
        Channels of a token, a multiple of 16 (one head each).
    blocks : int
        Transformer blocks, at least 1.
    context : int
        Characters that a prediction may look back on, at least 2; also the length of a window.
    attention : {"softmax", "elu", "norm-aware", "cosine", "nalaformer"}
        Softmax attention; linear attention with these features (:data:`~workbench.layers.FEATURE_MAPS`) and
        the same parameters; or the layer :class:`~workbench.layers.NormAwareAttention`, which has more.
    windows : int
        Windows of the split that the problem holds, evenly spaced over it (all, if there are fewer); the
        training and the metrics use them all.
    epochs : int
        Passes over the training split; 0 gives the network at initialisation.
    seed : int
        Of the initial weights and of the order of the batches.
    split : {"train", "test"}
        The examples that the problem holds; the training is always on the training split.

    Returns
    -------
    Problem
        Cross-entropy over the split; loss and accuracy on both splits are its metrics.
    """
    check_count("width", width, low=HEAD_WIDTH, multiple=HEAD_WIDTH)
    check_count("blocks", blocks, low=1)
    check_count("context", context, low=2)
    check_choice("attention", attention, ATTENTION_KINDS)
    check_count("windows", windows, low=1)
    check_count("epochs", epochs, low=0)
    check_count("seed", seed, low=0)
    check_choice("split", split, SPLITS)
    characters, held_out, alphabet = text()
    data = Dataset(train=_windows(characters, context), test=_windows(held_out, context))
    loss = nn.CrossEntropyLoss()
    trained = Recipe(
        name="text-gpt",
        sources=[__file__, *transformer.sources(attention)],
        options={"width": width, "blocks": blocks, "context": context, "attention": attention},
        data=data,
        build=lambda: GPT(len(alphabet), context, width, blocks, attention),
        measures={"loss": loss, "accuracy": accuracy},
        epochs=epochs,
        seed=seed,
        batch_size=32,
        learning_rate=8e-3,
        weight_decay=0.1,
    ).network()
    shown = Dataset(_evenly_spaced(data.train, windows), _evenly_spaced(data.test, windows))
    problem = Problem(trained.model, loss, shown.batches(split, 64), name="text-gpt")
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


class GPT(nn.Module):
    """Learned positions, pre-norm causal blocks, and an output layer tied to the embedding (GPT-2).

    Logits stand as (examples, characters of the alphabet, positions), as ``nn.CrossEntropyLoss`` takes them.
    """

    def __init__(
        self, alphabet: int, context: int, width: int, blocks: int, attention: str = "softmax"
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(alphabet, width)
        self.position = nn.Parameter(torch.empty(context, width))
        self.blocks = nn.Sequential(*(Block(width, causal=True, kind=attention) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self._initialise(blocks)

    def forward(self, codes: Tensor) -> Tensor:
        """Map codes (n, positions) to logits (n, alphabet, positions) of the characters that follow."""
        tokens = self.embedding(codes) + self.position[: codes.shape[1]]
        return (self.norm(self.blocks(tokens)) @ self.embedding.weight.T).transpose(1, 2)

    def _initialise(self, blocks: int) -> None:
        """GPT-2's: deviation 0.02, and less for the layers that add to the residual stream."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(("attention.output.weight", "mlp.2.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * blocks) ** 0.5 if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)


def _windows(codes: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Cut a text into windows side by side: characters, and the characters that follow them."""
    count = (len(codes) - 1) // context
    if not count:
        raise ValueError(f"context={context} is not allowed: the held-out text has {len(codes)} characters")
    return codes[: count * context].view(count, context), codes[1 : count * context + 1].view(count, context)


def _evenly_spaced(examples: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    inputs, targets = examples
    chosen = np.linspace(0, len(inputs) - 1, min(count, len(inputs))).round()
    return inputs[chosen.astype(int)], targets[chosen.astype(int)]
