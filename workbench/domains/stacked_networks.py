"""Many small networks of one shape as stacked matrices: a step of all is a few batched products."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from workbench.random_vectors import generator


@dataclass(frozen=True)
class StackedNetworks:
    """Fully connected networks with two hidden layers of ReLU units, one a row.

    Attributes
    ----------
    weights, biases : tuple of Tensor (runs, inputs, outputs) and (runs, 1, outputs)
        Of the three layers.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def tensors(self) -> list[Tensor]:
        """All that is trained."""
        return [*self.weights, *self.biases]

    def features(self, inputs: Tensor) -> Tensor:
        """What the last layers get (runs, n, width), from inputs (runs, n, pixels)."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs = torch.baddbmm(bias, inputs, weight).relu()
        return inputs

    def logits(self, features: Tensor) -> Tensor:
        """Outputs (runs, n, classes) of the last layers."""
        return torch.baddbmm(self.biases[-1], features, self.weights[-1])

    def squared_norms(self) -> Tensor:
        """Squared norm (runs,) of all parameters of each network."""
        return torch.stack([tensor.square().sum((1, 2)) for tensor in self.tensors]).sum(0)

    def only(self, run: int) -> "StackedNetworks":
        """One of them, as a stack of one."""
        part = slice(run, run + 1)
        return StackedNetworks(
            tuple(weight[part] for weight in self.weights), tuple(bias[part] for bias in self.biases)
        )

    def network(self, run: int) -> nn.Sequential:
        """Return a copy of one of them as a module in eval mode, with layers hidden1, hidden2, head."""
        layers = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            layer = nn.Linear(*weight.shape[1:])
            with torch.no_grad():
                layer.weight.copy_(weight[run].T)
                layer.bias.copy_(bias[run, 0])
            layers.append(layer)
        names = ("hidden1", "activation1", "hidden2", "activation2", "head")
        parts = (layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        return nn.Sequential(OrderedDict(zip(names, parts, strict=True))).eval()


def join_networks(parts: Sequence[StackedNetworks]) -> StackedNetworks:
    """Return the networks of several stacks as one, in their order."""
    weights, biases = ([getattr(part, name) for part in parts] for name in ("weights", "biases"))
    return StackedNetworks(
        tuple(map(torch.cat, zip(*weights, strict=True))), tuple(map(torch.cat, zip(*biases, strict=True)))
    )


def start_networks(sizes: Sequence[int], seeds: Sequence[int]) -> StackedNetworks:
    """Return networks of these layer sizes, one for each seed: a seed is one start.

    Weights are uniform by Glorot's rule, biases zero.
    """
    drawn: list[list[Tensor]] = []
    for seed in seeds:
        random = generator(seed)
        drawn.append(
            [
                (2 * torch.rand(before, after, generator=random) - 1) * math.sqrt(6 / (before + after))
                for before, after in pairwise(sizes)
            ]
        )
    weights = tuple(torch.stack(layer) for layer in zip(*drawn, strict=True))
    biases = tuple(torch.zeros(len(weight), 1, weight.shape[-1]) for weight in weights)
    return StackedNetworks(weights, biases)
