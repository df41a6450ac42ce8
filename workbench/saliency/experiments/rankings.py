"""``rank_classes``: the likeliest classes of pictures, and which of them is asked about."""

import dataclasses
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.colors import BLUE, SKY
from workbench.problem import Problem
from workbench.result import Result, new_axes
from workbench.saliency.experiments.examples import Examples, label_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class ClassRanking(Result):
    """The k likeliest classes of each of N pictures.

    Attributes
    ----------
    pictures : tuple of str
        Names of the pictures.
    labels : Tensor (N, k)
        The classes, the likeliest first.
    names : tuple of tuple of str
        Their names.
    logits, probabilities : Tensor (N, k)
        The latter of the softmax over all classes.
    rank : int
        Which of them is asked about, 1 for the first.
    """

    pictures: tuple[str, ...]
    labels: Tensor
    names: tuple[tuple[str, ...], ...]
    logits: Tensor
    probabilities: Tensor
    rank: int

    @property
    def chosen(self) -> Tensor:
        """The class (N,) of each picture that is asked about."""
        return self.labels[:, self.rank - 1]

    def chosen_name(self, sample: int = 0) -> str:
        """Its name."""
        return self.names[sample][self.rank - 1]

    def frame(self) -> pd.DataFrame:
        """One row per picture and class."""
        count = self.labels.shape[1]
        return pd.DataFrame(
            {
                "picture": [picture for picture in self.pictures for _ in range(count)],
                "rank": list(range(1, count + 1)) * len(self.pictures),
                "class": [name for names in self.names for name in names],
                "logit": self.logits.flatten().tolist(),
                "probability": self.probabilities.flatten().tolist(),
            }
        )

    def plot(self, ax: "Axes | None" = None, sample: int = 0) -> "Axes":
        """A bar per class of one picture: its logit, with the probability beside it."""
        ax = new_axes(ax)
        places = range(self.labels.shape[1])
        colors = [BLUE if place == self.rank - 1 else SKY for place in places]
        bars = ax.barh(places, self.logits[sample].tolist(), color=colors)
        shares = [f" {share:.2f}" for share in self.probabilities[sample].tolist()]
        ax.bar_label(bars, shares, fontsize="small")
        ax.set_yticks(places, self.names[sample])
        ax.invert_yaxis()
        ax.set_xlabel("logit; beside it the probability")
        ax.set_title(f"likeliest classes of {self.pictures[sample]}", fontsize="small")
        return ax

    def summary(self) -> str:
        """What is asked about in each picture."""
        return "\n".join(
            f"{picture}: {names[self.rank - 1]}, number {self.rank}, "
            f"probability {self.probabilities[place, self.rank - 1].item():.3g}"
            for place, (picture, names) in enumerate(zip(self.pictures, self.names, strict=True))
        )


def rank_classes(problem: Problem, examples: Examples, rank: int = 1, count: int = 5) -> ClassRanking:
    """List the likeliest classes of pictures. One forward pass.

    Parameters
    ----------
    problem : Problem
        Its model returns logits (N, classes).
    examples : Examples
        The pictures.
    rank : int
        Which class is asked about; the last one if there are fewer.
    count : int
        How many are listed; all if there are fewer.

    Raises
    ------
    ValueError
        If ``rank`` is not among the ones that are listed.
    """
    check_count("count", count)
    check_count("rank", rank, 1, count)
    names = label_names(problem)
    with torch.no_grad():
        logits = problem.model(examples.inputs)
    found = logits.topk(min(count, logits.shape[1]), dim=1)
    return ClassRanking(
        pictures=examples.names,
        labels=found.indices,
        names=tuple(tuple(names[label] for label in row) for row in found.indices.tolist()),
        logits=found.values,
        probabilities=logits.softmax(dim=1).gather(1, found.indices),
        rank=min(rank, logits.shape[1]),
    )
