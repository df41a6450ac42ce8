"""SmoothGrad: the gradient, averaged over noisy copies of the input."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE
from workbench.probes import refuse_training_mode
from workbench.progress import progress
from workbench.random_vectors import generator
from workbench.result import Result, new_axes
from workbench.saliency.capture import INPUT, capture
from workbench.saliency.layer_inputs import check_rows, gradients_at, logits_of, read_inputs
from workbench.saliency.scores import SCORES, read_targets, target_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class NoisyGradients(Result):
    """Mean of the gradient over noisy copies of N inputs, for T targets each.

    Attributes
    ----------
    layer : str
        Where the gradient is taken; the noise is on the inputs.
    mean, stderr : Tensor (N, T, C, ...)
        The mean gradient and its standard error, nan for one sample.
    targets : Tensor (N, T)
    score : str
    noise : float
        Standard deviation of the noise, as a part of the range of each input.
    samples : int
        Noisy copies of each input: one forward, and T backward passes each.
    seed : int
    interrupted : bool
        Whether more samples were asked for.
    """

    layer: str
    mean: Tensor
    stderr: Tensor
    targets: Tensor
    score: str
    noise: float
    samples: int
    seed: int
    interrupted: bool = False

    @property
    def map(self) -> Tensor:
        """Largest absolute mean over the channels (N, T, ...)."""
        return self.mean.abs().amax(dim=2)

    @property
    def map_stderr(self) -> Tensor:
        """Standard error of the map: that of the channel it shows (the choice of the channel is left out)."""
        channel = self.mean.abs().argmax(dim=2, keepdim=True)
        return self.stderr.gather(2, channel).squeeze(2)

    def frame(self) -> pd.DataFrame:
        """One row per input and target: mean over the map, its peak, and the mean and peak of the errors."""
        values, errors = self.map.flatten(2), self.map_stderr.flatten(2)
        count, targets = self.targets.shape
        columns = {
            "sample": torch.arange(count)[:, None].expand(count, targets),
            "target": self.targets,
            "mean": values.mean(dim=2),
            "mean_stderr": errors.mean(dim=2),
            "maximum": values.amax(dim=2),
            "maximum_stderr": errors.gather(2, values.argmax(dim=2, keepdim=True)).squeeze(2),
        }
        return pd.DataFrame({name: each.flatten().cpu().numpy() for name, each in columns.items()})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Locations of the first map, from the largest on, with two standard errors."""
        ax = new_axes(ax)
        values, order = self.map[0, 0].flatten().cpu().sort(descending=True)
        errors = self.map_stderr[0, 0].flatten().cpu()[order]
        rank = np.arange(1, len(values) + 1)
        ax.plot(rank, values, color=BLUE, label="first input and target")
        ax.fill_between(rank, values - 2 * errors, values + 2 * errors, color=BLUE, alpha=0.2,
                        label="± 2 standard errors")  # fmt: skip
        ax.set_xlabel("location, by rank")
        ax.set_ylabel(f"largest absolute mean gradient at {self.layer!r}")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Size of the maps, their standard error, and the cost."""
        note = ", INTERRUPTED before the rest" if self.interrupted else ""
        value, error = self.map.mean().item(), self.map_stderr.mean().item()
        return (
            f"SmoothGrad at {self.layer!r}: mean of the maps {value:.4g}, their standard error {error:.2g}\n"
            f"{self.samples} noisy copies (noise {self.noise:.3g} of the range, seed {self.seed}){note}, one "
            f"forward and {self.targets.shape[1]} backward passes each"
        )


def smooth_gradients(
    model: nn.Module,
    inputs: Tensor,
    target: Any = None,
    *,
    layer: str = INPUT,
    samples: int = 50,
    noise: float = 0.15,
    score: str = "logit",
    seed: int = 0,
    rows: int = 64,
) -> NoisyGradients:
    """Average the gradient of a score over copies of the input with Gaussian noise.

    Every input of a batch gets the same noise, scaled to its own range, so that it has the same map in any
    batch.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode. It is left as it was.
    inputs : Tensor (N, ...)
    target : None, int, N ints, or (N, T)
        None is the class predicted for the input without noise.
    layer : str
        Where the gradient is taken.
    samples : int
        Noisy copies.
    noise : float
        Standard deviation as a part of the input's range, its maximum less its minimum.
    score : {"logit", "probability", "loss"}
    seed : int
        Of the noise.
    rows : int
        At most so many inputs are in memory at once, with the graph of one forward pass.

    Returns
    -------
    NoisyGradients
        An interrupt (Ctrl-C) returns the mean of what is done.

    Raises
    ------
    ValueError
        If a name, target, count or the noise is out of range, or the model is in train mode.

    Notes
    -----
    Cost: ``samples`` forward passes and T times as many backward passes over the inputs, and a forward pass.
    Source: Smilkov, Thorat, Kim, Viégas, Wattenberg, arXiv:1706.03825, section 3.
    """
    refuse_training_mode(model)
    check_count("samples", samples)
    check_count("rows", rows)
    check_choice("score", score, SCORES)
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise={noise} is out of range: it is a part of the range of an input, at least 0")
    with torch.inference_mode(False), torch.no_grad():
        inputs = read_inputs(inputs)
        if not inputs.is_floating_point():
            raise ValueError(f"inputs are {inputs.dtype}, to which no noise can be added")
        targets = read_targets(target, logits_of(model, inputs, rows))
        found = _Moments()
        interrupted = False
        try:
            with progress("SmoothGrad", samples * len(inputs)) as advance:
                for noisy in _noisy(inputs, noise, samples, seed, max(1, rows // len(inputs))):
                    found.add(_gradients(model, noisy, targets, layer, score, rows))
                    advance(noisy.shape[0] * noisy.shape[1])
        except KeyboardInterrupt:
            if not found.count:
                raise
            interrupted = True
    return NoisyGradients(
        layer=layer,
        mean=found.mean.to(torch.promote_types(inputs.dtype, torch.float32)),
        stderr=found.stderr.to(torch.promote_types(inputs.dtype, torch.float32)),
        targets=targets,
        score=score,
        noise=noise,
        samples=found.count,
        seed=seed,
        interrupted=interrupted,
    )


class _Moments:
    """Mean and standard error of samples that come in groups, along their first axis."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, samples: Tensor) -> None:
        """Chan's update: sums of squares around the mean, so that no digits cancel."""
        samples = samples.double()
        mean = samples.mean(dim=0)
        step = mean - self.mean.to(mean.device)
        count = self.count + len(samples)
        self.squares = (
            self.squares.to(mean.device)
            + (samples - mean).square().sum(dim=0)
            + step.square() * self.count * len(samples) / count
        )
        self.mean = mean - step * (self.count / count)
        self.count = count

    @property
    def stderr(self) -> Tensor:
        if self.count < 2:
            return torch.full_like(self.mean, float("nan"))
        return (self.squares / (self.count - 1) / self.count).sqrt()


def _noisy(inputs: Tensor, noise: float, samples: int, seed: int, together: int) -> Iterator[Tensor]:
    """Noisy copies (samples, N, ...), a few samples at a time; the noise of a sample is that of any batch."""
    source = generator(seed)
    flat = inputs.flatten(1)
    width = noise * (flat.amax(dim=1) - flat.amin(dim=1))
    for first in range(0, samples, together):
        count = min(together, samples - first)
        draws = [torch.randn(inputs.shape[1:], generator=source) for _ in range(count)]
        yield inputs + width.view(-1, *[1] * (inputs.dim() - 1)) * torch.stack(draws)[:, None].to(inputs)


def _gradients(model: nn.Module, noisy: Tensor, targets: Tensor, layer: str, score: str, rows: int) -> Tensor:
    """Gradients (samples, N, T, ...)."""
    flat, classes = noisy.flatten(0, 1), targets.expand(len(noisy), *targets.shape).flatten(0, 1)
    found = []
    for part, its_classes in zip(flat.split(rows), classes.split(rows), strict=True):
        captured = capture(model, part, (layer,))
        check_rows(layer, captured.activations[layer], len(part))
        with torch.enable_grad():
            scores = target_scores(captured.logits, its_classes, score)
        found.append(gradients_at(scores, captured.activations[layer]))
    return torch.cat(found).unflatten(0, (len(noisy), -1))
