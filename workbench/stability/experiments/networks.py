"""Six small classifiers of handwritten digits that the experiments share, each from a seed.

After "Ghosts of Softmax" (arXiv 2603.13552), which names six kinds: the widths of the perceptron and of the
three networks with a norm are the published ones; those of the linear model and of the plain convolutional
network are ours. Data card: ``digits.md``.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems.datasets import Dataset
from workbench.problems.recipe import Recipe
from workbench.training import accuracy

_PIXELS, _CLASSES = 64, 10


def digits(seed: int) -> Dataset:
    """Handwritten digits as rows of 64 pixels in [0, 1]; 1437 to train, 360 held out, split by the seed.

    The split is stratified: every class has its share in both parts. In contrast to
    ``workbench.problems``, whose split is one for all, it changes from seed to seed.
    """
    check_count("seed", seed, low=0)
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        (images / 16).astype(np.float32),
        labels.astype(np.int64),
        test_size=0.2,
        random_state=seed,
        stratify=labels,
    )
    train_inputs, test_inputs, train_targets, test_targets = map(torch.from_numpy, parts)
    return Dataset((train_inputs, train_targets), (test_inputs, test_targets))


def build_network(name: str, seed: int) -> nn.Module:
    """Return one of the networks at initialisation, in train mode; the global random state stays as it is.

    Parameters
    ----------
    name : str
        One of ``NETWORKS``: ``"linear"``, ``"mlp"``, ``"cnn"``, ``"mlp-layernorm"``, ``"cnn-batchnorm"``,
        ``"transformer"``. All map rows of 64 pixels to 10 logits.
    seed : int
        Of the initial weights.

    Raises
    ------
    ValueError
        If there is no network of that name.
    """
    check_choice("network", name, list(NETWORKS))
    check_count("seed", seed, low=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name]()


def trained_problem(name: str, seed: int = 0, epochs: int = 20) -> Problem:
    """Return one of the networks after training: cross-entropy over the training split, in eval mode.

    Parameters
    ----------
    name : str
        One of ``NETWORKS``.
    seed : int
        Of the split, the initial weights and the order of the batches.
    epochs : int
        Passes over the training split by AdamW in batches of 64, its rate up and down in one cycle. One or
        two seconds on one thread the first time; then from the cache. ``"cnn-batchnorm"`` has learnt little
        after 20 (two thirds right, held out), the others between 94% and 98%.

    Returns
    -------
    Problem
        Loss and accuracy on both splits are its metrics; a few states of the training its checkpoints.

    Raises
    ------
    ValueError
        If there is no network of that name.
    """
    check_choice("network", name, list(NETWORKS))
    check_count("epochs", epochs, low=0)
    data = digits(seed)
    loss = nn.CrossEntropyLoss()
    trained = Recipe(
        name=f"stability-{name}",
        sources=[__file__],
        options={},
        data=data,
        build=NETWORKS[name],
        measures={"loss": loss, "accuracy": accuracy},
        epochs=epochs,
        seed=seed,
        batch_size=64,
        learning_rate=1e-2,
        weight_decay=0.01,
    ).network()
    problem = Problem(trained.model, loss, data.batches("train", 512), name=name)
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


def _linear() -> nn.Module:
    return nn.Sequential(OrderedDict(output=nn.Linear(_PIXELS, _CLASSES)))


def _mlp(width: int = 128) -> nn.Module:
    return nn.Sequential(
        OrderedDict(hidden=nn.Linear(_PIXELS, width), activation=nn.ReLU(), output=nn.Linear(width, _CLASSES))
    )


def _cnn(channels: int = 16) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            image=nn.Unflatten(1, (1, 8, 8)),
            convolution1=nn.Conv2d(1, channels, 3, stride=2, padding=1),
            activation1=nn.ReLU(),
            convolution2=nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            activation2=nn.ReLU(),
            flatten=nn.Flatten(),
            output=nn.Linear(8 * channels, _CLASSES),
        )
    )


def _mlp_layernorm(width: int = 64, layers: int = 3) -> nn.Module:
    parts: list[nn.Module] = []
    for layer in range(layers):
        parts += [nn.Linear(width if layer else _PIXELS, width), nn.LayerNorm(width), nn.GELU()]
    return nn.Sequential(*parts, nn.Linear(width, _CLASSES))


def _cnn_batchnorm(channels: int = 32) -> nn.Module:
    """Convolutions along the row of pixels, as published; they see five pixels and then only their mean."""
    return nn.Sequential(
        OrderedDict(
            row=nn.Unflatten(1, (1, _PIXELS)),
            convolution1=nn.Conv1d(1, channels, 3, padding=1),
            norm1=nn.BatchNorm1d(channels),
            activation1=nn.ReLU(),
            convolution2=nn.Conv1d(channels, channels, 3, padding=1),
            norm2=nn.BatchNorm1d(channels),
            activation2=nn.ReLU(),
            pool=nn.AdaptiveAvgPool1d(1),
            flatten=nn.Flatten(),
            output=nn.Linear(channels, _CLASSES),
        )
    )


class TinyTransformer(nn.Module):
    """One pre-norm block on one token that holds the whole image, as published.

    A softmax over one token is 1, so attention is a linear map here and its queries and keys get no gradient.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Linear(_PIXELS, width)
        self.norm1 = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.output = nn.Linear(width, _CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map rows of pixels (n, 64) to logits (n, 10)."""
        x = self.embedding(pixels).unsqueeze(1)
        queries, keys, values = self.queries_keys_values(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.mixed(nn.functional.scaled_dot_product_attention(queries, keys, values))
        x = x + self.mlp(self.norm2(x))
        return self.output(x.squeeze(1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "linear": _linear,
    "mlp": _mlp,
    "cnn": _cnn,
    "mlp-layernorm": _mlp_layernorm,
    "cnn-batchnorm": _cnn_batchnorm,
    "transformer": TinyTransformer,
}
