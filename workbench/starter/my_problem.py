"""A problem to start from: a model, a loss and data, returned by the factory ``make``.

As it stands it classifies breast tumours (scikit-learn ships the data) with a small network, which it trains
in seconds. Replace its parts by your own from top to bottom; each says where.

    workbench report curvature -p problem my_problem.py:make --open
    workbench lab      # in a notebook: wb.explore.curvature(wb.load_problem("path/to/my_problem.py:make"))
"""

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import workbench as wb

WEIGHT_DECAY = 1e-2


def make(*, width: int = 32, epochs: int = 30, seed: int = 0) -> wb.Problem:
    """Build the problem.

    Parameters are yours to choose: ``wb.load_problem("my_problem.py:make", width=64)``. A report takes the
    defaults; for other values in a report, write a second factory (see ``make_wide``).

    Parameters
    ----------
    width : int
        Units of the hidden layer.
    epochs : int
        Passes over the data; 0 gives the network at initialisation.
    seed : int
        Of the initial weights, the dropout and the order of the batches: the same seed must give the same
        problem, or two reports cannot be compared.
    """
    torch.manual_seed(seed)
    inputs, targets = read_data()

    # YOUR MODEL. Any torch.nn.Module will do. To analyse one that you trained elsewhere, load it here:
    #     model.load_state_dict(torch.load("weights.pt", weights_only=True))
    # and drop the call of `train`.
    model = nn.Sequential(
        nn.Linear(inputs.shape[1], width),
        nn.BatchNorm1d(width),
        nn.Tanh(),
        nn.Dropout(0.1),
        nn.Linear(width, 2),
    )

    # YOUR LOSS. Any torch loss, or a function of (outputs, targets) that returns a scalar.
    loss = nn.CrossEntropyLoss()

    train(model, loss, inputs, targets, epochs)

    # EVAL MODE. In train mode dropout draws anew at each evaluation, and BatchNorm's statistics depend on the
    # batch: the loss would not be one fixed function of the parameters, and Workbench refuses it.
    model.eval()

    # YOUR DATA. A DataLoader that does not shuffle, a list of batches, or, if all fits into one batch, just
    # the pair (inputs, targets).
    data = DataLoader(TensorDataset(inputs, targets), batch_size=128, shuffle=False)

    problem = wb.Problem(
        model,
        loss,
        data,
        # The optimiser's weight decay; an analysis adds it to the loss where it is asked for
        # `regularization=True`.
        weight_decay=WEIGHT_DECAY,
        # Batches that are not (inputs, targets): say how to read them. With dictionaries of a tokenizer, say
        #     forward=lambda model, batch: model(**batch).logits.flatten(0, 1),
        #     targets=lambda batch: batch["labels"].flatten(),
        # A loss of your own that averages over something else than examples: say over how many, e.g.
        #     weight=lambda batch: batch["mask"].sum().item(),
        # Some of the parameters only:
        #     parameters="4.*",
        name="breast-cancer",
    )
    # CHECKPOINTS. States of its training, if you have some; files are read when an analysis needs them.
    #     problem = problem.with_checkpoints({1: "epoch1.pt", 10: "epoch10.pt"})
    # METRICS. Figures that stand beside the problem; leave them out if you have none.
    return problem.with_metrics({"accuracy": accuracy(model, inputs, targets)})


def make_wide() -> wb.Problem:
    """Build the same with other values: ``-p problem my_problem.py:make_wide``."""
    return make(width=128)


def read_data() -> tuple[Tensor, Tensor]:
    """Return inputs, each column with mean 0 and standard deviation 1, and class numbers."""
    data = load_breast_cancer()
    inputs = torch.tensor(data.data, dtype=torch.float32)
    return (inputs - inputs.mean(0)) / inputs.std(0), torch.tensor(data.target)


def train(model: nn.Module, loss: nn.Module, inputs: Tensor, targets: Tensor, epochs: int) -> None:
    """Train a model in place, on shuffled batches."""
    batches = DataLoader(TensorDataset(inputs, targets), batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=WEIGHT_DECAY)
    model.train()
    for _ in range(epochs):
        for batch_inputs, batch_targets in batches:
            optimizer.zero_grad()
            loss(model(batch_inputs), batch_targets).backward()
            optimizer.step()


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Return the share of examples whose class is right."""
    return (model(inputs).argmax(1) == targets).float().mean().item()
