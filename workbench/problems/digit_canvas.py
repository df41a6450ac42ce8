"""``digit-canvas``: which digits are on a canvas; where they are is known, for the localisation of maps."""

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.problem import Problem
from workbench.problems import canvases as _canvases
from workbench.problems import convolution
from workbench.problems.canvases import draw_canvases
from workbench.problems.convolution import block
from workbench.problems.datasets import SPLITS, Dataset, Split
from workbench.problems.recipe import Recipe

COUNTS = {"train": 3000, "test": 600}  # canvases that the network is trained and measured on


def digit_canvas(
    *, width: int = 12, shown: int = 256, epochs: int = 12, seed: int = 0, split: Split = "train"
) -> Problem:
    """Convolutional network that says which digits are on a 96 × 96 canvas (data card: ``canvas.md``).

    Ten logits, each of the presence of one class. The network ends in a mean over space and a linear layer.

    Parameters
    ----------
    width : int
        Channels of the first convolution, at least 1; the last have four times as many.
    shown : int
        Canvases of the split that the problem holds, the first so many, at most 3000 (train) or 600 (test);
        the training and the metrics use them all.
    epochs : int
        Passes over the training split; 0 gives the network at initialisation.
    seed : int
        Of the initial weights and of the order of the batches; the canvases are the same for every seed.
    split : {"train", "test"}
        The examples that the problem holds; the training is always on the training split.

    Returns
    -------
    Problem
        Binary cross-entropy over the split, averaged over classes; its metrics are the loss, the share of the
        classes and the share of the canvases that are right, on both splits.
    """
    check_count("width", width, low=1)
    check_count("epochs", epochs, low=0)
    check_count("seed", seed, low=0)
    check_choice("split", split, SPLITS)
    check_count("shown", shown, 1, COUNTS[split])
    train, test = (draw_canvases(cast(Split, part), count) for part, count in COUNTS.items())
    data = Dataset(train=(train.images, train.targets), test=(test.images, test.targets))
    loss = nn.BCEWithLogitsLoss()
    trained = Recipe(
        name="digit-canvas",
        sources=[__file__, _canvases.__file__, convolution.__file__],
        options={"width": width},
        data=data,
        build=lambda: _network(width),
        measures={"loss": loss, "classes_right": classes_right, "canvases_right": canvases_right},
        epochs=epochs,
        seed=seed,
        batch_size=32,
        learning_rate=1e-2,
        weight_decay=0.05,
    ).network()
    inputs, targets = (part[:shown] for part in (data.train if split == "train" else data.test))
    batches = list(zip(inputs.split(64), targets.split(64), strict=True))
    problem = Problem(trained.model, loss, batches, name="digit-canvas")
    return problem.with_metrics(trained.metrics).with_checkpoints(trained.checkpoints)


def classes_right(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of all (canvas, class) whose logit has the right sign."""
    return _right(logits, targets).double().mean()


def canvases_right(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of the canvases on which all ten logits have the right sign."""
    return _right(logits, targets).all(1).double().mean()


def _right(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits > 0) == (targets > 0)


def _network(width: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            block1=block(1, width, stride=2),
            block2=block(width, 2 * width, stride=2),
            block3=block(2 * width, 2 * width),
            block4=block(2 * width, 4 * width, stride=2),
            block5=block(4 * width, 4 * width),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            output=nn.Linear(4 * width, 10),
        )
    )
