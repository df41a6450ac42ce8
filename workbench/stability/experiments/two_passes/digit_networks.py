"""Three small networks on digits, trained by Adam with many schedules and seeds as one tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from workbench.problems import datasets
from workbench.progress import still_at_work
from workbench.stability.experiments.networks import build_network
from workbench.stability.experiments.two_passes.trainable import Trained, batch_places
from workbench.training import accuracy

NETWORKS = ("mlp", "cnn", "transformer")
_BATCH, _BETA1, _BETA2, _EPSILON = 32, 0.9, 0.999, 1e-8
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class DigitNetwork:
    """One of the networks that the experiments on stability share, and a cross entropy."""

    name: str
    optimizer: ClassVar[str] = "adam"
    base_rates: ClassVar[tuple[float, ...]] = (3e-3, 1e-2, 3e-2, 1e-1)

    def train(self, rates: np.ndarray, seeds: Sequence[int]) -> Trained:
        """Train with learning rates (settings, seeds, T); start and order of the batches are the seed's."""
        settings, count, steps = rates.shape
        data = datasets.digits()
        inputs, targets = data.train[0].flatten(1), data.train[1]
        starts = [build_network(self.name, seed) for seed in seeds]
        model = starts[0]
        weights = {
            name: torch.stack([start.get_parameter(name).detach() for start in starts] * settings)
            for name, _ in model.named_parameters()
        }

        def loss(one: Weights, rows: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(functional_call(model, one, (rows,)), labels)

        gradients = vmap(grad(loss))
        places = batch_places(len(targets), _BATCH, steps, seeds).repeat(settings, 1, 1)
        sizes = torch.from_numpy(rates).float().reshape(-1, steps)
        first, second = ({name: torch.zeros_like(w) for name, w in weights.items()} for _ in range(2))
        norms = torch.empty(settings * count, steps, dtype=torch.float64)
        for step in range(steps):
            still_at_work()
            chosen = places[:, step]
            found = gradients(weights, inputs[chosen], targets[chosen])
            norms[:, step] = torch.stack([g.flatten(1).abs().sum(1) for g in found.values()]).sum(0)
            _adam(weights, found, first, second, sizes[:, step], step + 1)
        values = np.array([_measured(model, weights, place, data) for place in range(settings * count)])
        return Trained(values.T.reshape(3, settings, count), norms.numpy().reshape(settings, count, steps))


def _adam(
    weights: Weights, gradients: Weights, first: Weights, second: Weights, rates: Tensor, step: int
) -> None:
    """One step, in place, with a learning rate for each copy."""
    for name, gradient in gradients.items():
        first[name].lerp_(gradient, 1 - _BETA1)
        second[name].lerp_(gradient.square(), 1 - _BETA2)
        scale = (second[name] / (1 - _BETA2**step)).sqrt_().add_(_EPSILON)
        rate = rates.reshape(-1, *[1] * (gradient.dim() - 1)) / (1 - _BETA1**step)
        weights[name] -= rate * first[name] / scale


@torch.no_grad()
def _measured(model: nn.Module, weights: Weights, place: int, data: datasets.Dataset) -> list[float]:
    """Loss on the training split, loss and accuracy on the held-out split, of one copy."""
    one = {name: weight[place] for name, weight in weights.items()}
    logits = [functional_call(model, one, (inputs.flatten(1),)) for inputs, _ in (data.train, data.test)]
    labels = data.train[1], data.test[1]
    losses = [nn.functional.cross_entropy(*each).item() for each in zip(logits, labels, strict=True)]
    return [*losses, accuracy(logits[1], labels[1]).item()]
