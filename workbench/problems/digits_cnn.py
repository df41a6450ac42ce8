"""``digits-cnn``: a convolutional network with BatchNorm on handwritten digits."""

from collections import OrderedDict

from torch import nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems import convolution
from workbench.problems.convolution import block
from workbench.problems.datasets import SPLITS, Split, digits
from workbench.problems.recipe import Recipe
from workbench.training import accuracy


def digits_cnn(*, width: int = 16, epochs: int = 10, seed: int = 0, split: Split = "train") -> Problem:
    """Convolutional classifier with BatchNorm of 8 × 8 handwritten digits (data card: ``digits.md``).

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
    data = digits()
    loss = nn.CrossEntropyLoss()
    trained = Recipe(
        name="digits-cnn",
        sources=[__file__, convolution.__file__],
        options={"width": width},
        data=data,
        build=lambda: _network(width),
        measures={"loss": loss, "accuracy": accuracy},
        epochs=epochs,
        seed=seed,
        batch_size=64,
        learning_rate=1e-2,
        weight_decay=0.01,
    ).network()
    problem = Problem(trained.model, loss, data.batches(split, 512), name="digits-cnn")
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


def _network(width: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            block1=block(1, width),
            block2=block(width, 2 * width, stride=2),
            block3=block(2 * width, 2 * width),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            output=nn.Linear(2 * width, 10),
        )
    )
