"""What an estimator of a diagonal concludes: entries, and sums over layers, each with a standard error."""

import dataclasses

import torch
from torch import Tensor

from workbench.curvature.estimators.sampling import Samples

Layout = tuple[tuple[str, int, int], ...]  # name, start and stop of each layer


@dataclasses.dataclass(frozen=True)
class DiagonalSamples:
    """Means over the samples of the entries, and the samples of the sums."""

    values: Tensor  # (n,)
    stderr: Tensor  # (n,)
    layers: tuple[Samples, ...]  # in the order of the layout
    total: Samples


def exact_samples(entries: Tensor, layout: Layout) -> DiagonalSamples:
    """A diagonal that is known."""

    def certain(part: Tensor) -> Samples:
        return Samples(part.double().sum()[None].cpu(), 0.0)

    layers = tuple(certain(entries[start:stop]) for _, start, stop in layout)
    return DiagonalSamples(entries.double(), torch.zeros_like(entries).double(), layers, certain(entries))
