"""``digits-transformer``: a small vision transformer on handwritten digits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems import transformer
from workbench.problems.datasets import SPLITS, Split, digits
from workbench.problems.recipe import Recipe
from workbench.problems.transformer import ATTENTION_KINDS, HEAD_WIDTH, AttentionKind, Block
from workbench.training import accuracy


def digits_transformer(
    *,
    width: int = 32,
    blocks: int = 2,
    attention: AttentionKind = "softmax",
    epochs: int = 30,
    seed: int = 0,
    split: Split = "train",
) -> Problem:
    """Vision transformer on the 16 patches of 8 × 8 handwritten digits (data card: ``digits.md``).

    Parameters
    ----------
    width : int
        Channels of a token, a multiple of 16 (one head each).
    blocks : int
        Transformer blocks, at least 1.
    attention : {"softmax", "elu", "norm-aware", "cosine", "nalaformer"}
        Softmax attention; linear attention with these features (:data:`~workbench.layers.FEATURE_MAPS`) and
        the same parameters; or the layer :class:`~workbench.layers.NormAwareAttention`, which has more.
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
    check_choice("attention", attention, ATTENTION_KINDS)
    check_count("epochs", epochs, low=0)
    check_count("seed", seed, low=0)
    check_choice("split", split, SPLITS)
    data = digits()
    loss = nn.CrossEntropyLoss()
    trained = Recipe(
        name="digits-transformer",
        sources=[__file__, *transformer.sources(attention)],
        options={"width": width, "blocks": blocks, "attention": attention},
        data=data,
        build=lambda: DigitsTransformer(width, blocks, attention),
        measures={"loss": loss, "accuracy": accuracy},
        epochs=epochs,
        seed=seed,
        batch_size=64,
        learning_rate=1e-2,
        weight_decay=0.5,
    ).network()
    problem = Problem(trained.model, loss, data.batches(split, 512), name="digits-transformer")
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


class DigitsTransformer(nn.Module):
    """Patches of 2 × 2 pixels with learned positions, pre-norm blocks, mean over the tokens."""

    def __init__(self, width: int, blocks: int, attention: str = "softmax") -> None:
        super().__init__()
        self.embedding = nn.Linear(4, width)
        self.position = nn.Parameter(0.1 * torch.randn(16, width))
        self.blocks = nn.Sequential(*(Block(width, kind=attention, grid=(4, 4)) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, 1, 8, 8) to logits (n, 10)."""
        patches = F.unfold(images, kernel_size=2, stride=2).transpose(1, 2)
        tokens = self.blocks(self.embedding(patches) + self.position)
        return self.output(self.norm(tokens).mean(1))
