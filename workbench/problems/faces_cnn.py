"""``faces-cnn``: a convolutional network that tells faces from background."""

from collections import OrderedDict

from torch import nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems.datasets import SPLITS, Split, faces
from workbench.problems.recipe import Recipe
from workbench.training import accuracy


def faces_cnn(*, width: int = 16, epochs: int = 40, seed: int = 0, split: Split = "train") -> Problem:
    """Convolutional classifier of 25 × 25 grey images: face or not (data card: ``faces.md``).

    Parameters
    ----------
    width : int
        Channels of the first convolution, at least 1; the other two have twice as many.
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
    check_count("width", width, low=1)
    check_count("epochs", epochs, low=0)
    check_count("seed", seed, low=0)
    check_choice("split", split, SPLITS)
    data = faces()
    loss = nn.CrossEntropyLoss()
    trained = Recipe(
        name="faces-cnn",
        sources=[__file__],
        options={"width": width},
        data=data,
        build=lambda: _network(width),
        measures={"loss": loss, "accuracy": accuracy},
        epochs=epochs,
        seed=seed,
        batch_size=20,
        learning_rate=5e-3,
        weight_decay=0.01,
    ).network()
    problem = Problem(trained.model, loss, data.batches(split, 512), name="faces-cnn")
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


def _network(width: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            convolution1=nn.Conv2d(1, width, 3, padding=1),
            activation1=nn.GELU(),
            pool1=nn.MaxPool2d(2),
            convolution2=nn.Conv2d(width, 2 * width, 3, padding=1),
            activation2=nn.GELU(),
            pool2=nn.MaxPool2d(2),
            convolution3=nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            activation3=nn.GELU(),
            pool3=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            output=nn.Linear(2 * width, 2),
        )
    )
