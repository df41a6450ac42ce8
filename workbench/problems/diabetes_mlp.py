"""``diabetes-mlp``: regression of the progression of diabetes by a fully connected network."""

from collections import OrderedDict

from torch import nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems.datasets import SPLITS, Split, diabetes
from workbench.problems.recipe import Recipe
from workbench.training import r_squared


def diabetes_mlp(*, width: int = 32, epochs: int = 30, seed: int = 0, split: Split = "train") -> Problem:
    """Fully connected regression on ten measurements of a patient (data card: ``diabetes.md``).

    Parameters
    ----------
    width : int
        Units of each of the two hidden layers, at least 1.
    epochs : int
        Passes over the training split; 0 gives the network at initialisation.
    seed : int
        Of the initial weights and of the order of the batches.
    split : {"train", "test"}
        The examples that the problem holds; the training is always on the training split.

    Returns
    -------
    Problem
        Mean squared error over the split, in units of the standardised target; loss and R² on both splits
        are its metrics.
    """
    check_count("width", width, low=1)
    check_count("epochs", epochs, low=0)
    check_count("seed", seed, low=0)
    check_choice("split", split, SPLITS)
    data = diabetes()
    loss = nn.MSELoss()
    trained = Recipe(
        name="diabetes-mlp",
        sources=[__file__],
        options={"width": width},
        data=data,
        build=lambda: _network(width),
        measures={"loss": loss, "r2": r_squared},
        epochs=epochs,
        seed=seed,
        batch_size=32,
        learning_rate=2e-3,
        weight_decay=0.1,
    ).network()
    problem = Problem(trained.model, loss, data.batches(split, 512), name="diabetes-mlp")
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


def _network(width: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            hidden1=nn.Linear(10, width),
            activation1=nn.GELU(),
            hidden2=nn.Linear(width, width),
            activation2=nn.GELU(),
            output=nn.Linear(width, 1),
        )
    )
