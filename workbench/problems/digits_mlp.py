"""``digits-mlp``: a fully connected network on handwritten digits; a Hessian report takes seconds."""

from collections import OrderedDict

from torch import nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems.datasets import SPLITS, Split, digits
from workbench.problems.recipe import Recipe
from workbench.training import accuracy


def digits_mlp(*, width: int = 64, epochs: int = 30, seed: int = 0, split: Split = "train") -> Problem:
    """Fully connected classifier of 8 × 8 handwritten digits (data card: ``digits.md``).

    Parameters
    ----------
    width : int
        Units of the first hidden layer, at least 2; the second has half as many.
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
    check_count("width", width, low=2)
    check_count("epochs", epochs, low=0)
    check_count("seed", seed, low=0)
    check_choice("split", split, SPLITS)
    data = digits()
    loss = nn.CrossEntropyLoss()
    trained = Recipe(
        name="digits-mlp",
        sources=[__file__],
        options={"width": width},
        data=data,
        build=lambda: _network(width),
        measures={"loss": loss, "accuracy": accuracy},
        epochs=epochs,
        seed=seed,
        batch_size=64,
        learning_rate=1e-2,
        weight_decay=0.1,
    ).network()
    problem = Problem(trained.model, loss, data.batches(split, 512), name="digits-mlp")
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


def _network(width: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            hidden1=nn.Linear(64, width),
            activation1=nn.GELU(),
            hidden2=nn.Linear(width, width // 2),
            activation2=nn.GELU(),
            output=nn.Linear(width // 2, 10),
        )
    )
