"""What a layer does before and after a step of gradient descent on one input, for many inputs at once."""

import dataclasses
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, jvp, vmap

from workbench.hooks import of_this_thread
from workbench.progress import progress
from workbench.saliency.capture import INPUT, capture, find_layers, refuse_inference_model
from workbench.saliency.layer_inputs import check_rows
from workbench.saliency.scores import target_scores

Parameters = dict[str, Tensor]


@dataclasses.dataclass
class Tap:
    """What a layer's hook adds to its output, and what it saw; both belong to the call that is running."""

    module: nn.Module | None
    zeros: Tensor  # like the output of one input
    shift: Tensor | None = None
    seen: Tensor | None = None
    entered: Tensor | None = None

    def through(self, value: Tensor) -> Tensor:
        """The value with the shift, noted; what follows gets a copy, as it may work in place."""
        if self.shift is None:
            return value
        self.seen = value + self.shift
        return self.seen.clone()


class Seen(NamedTuple):
    """What a method needs of a layer, for one input."""

    x: Tensor
    gradient: Tensor
    entered: Tensor
    logits: Tensor


@dataclasses.dataclass(frozen=True)
class Learner:
    """All that is done for one input and target but the map, as a function that can be mapped over many."""

    model: nn.Module
    tap: Tap
    score: str
    step: float  # signed: negative goes down the loss
    infinitesimal: bool

    def __call__(self, parameters: Parameters, image: Tensor, label: Tensor) -> tuple[Seen, Seen, Tensor]:
        """What is seen before the step; what is seen after it, or its derivative; the change of the loss."""
        gradient, loss = grad_and_value(self._loss)(parameters, image, label)
        if self.infinitesimal:
            sign = math.copysign(1, self.step)
            direction = {name: sign * each for name, each in gradient.items()}
            found = jvp(lambda moved: self._see(moved, image, label), (parameters,), (direction,))
            slope = sum((each.square().sum() for each in gradient.values()), torch.zeros_like(loss))
            return found[0], found[1], sign * slope
        seen = self._see(parameters, image, label)
        moved = {name: parameters[name] + self.step * each for name, each in gradient.items()}
        after = self._see(moved, image, label)
        return seen, after, F.cross_entropy(after.logits[None], label[None]) - loss

    def _loss(self, parameters: Parameters, image: Tensor, label: Tensor) -> Tensor:
        self.tap.shift = None
        return F.cross_entropy(functional_call(self.model, parameters, (image[None],)), label[None])

    def _see(self, parameters: Parameters, image: Tensor, label: Tensor) -> Seen:
        found = grad(self._score, has_aux=True)(self.tap.zeros, parameters, image, label)
        gradient, (x, entered, logits) = found
        return Seen(x[0], gradient[0], entered[0], logits[0])

    def _score(
        self, shift: Tensor, parameters: Parameters, image: Tensor, label: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        tap = self.tap
        tap.shift = shift
        value = image[None]
        if tap.module is None:
            value = tap.entered = tap.through(value)
        logits = functional_call(self.model, parameters, (value,))
        seen, entered = tap.seen, tap.entered
        assert seen is not None
        assert entered is not None
        tap.shift = tap.seen = tap.entered = None
        return target_scores(logits, label[None, None], self.score).squeeze(), (seen, entered, logits)


@contextmanager
def tapped(model: nn.Module, inputs: Tensor, layer: str, *, entering: bool) -> Iterator[Tap]:
    """A tap at the layer; the hook goes with it. ``entering`` asks for what enters the layer, too."""
    refuse_inference_model(model)
    if layer == INPUT:
        yield Tap(None, torch.zeros_like(inputs[:1]))
        return
    captured = capture(model, inputs[:1], (layer,), entering=(layer,) if entering else ())
    zeros = torch.zeros_like(check_rows(layer, captured.activations[layer].detach(), 1))
    (module,) = find_layers(model, (layer,)).values()
    tap = Tap(module, zeros)

    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        if tap.shift is not None:
            tap.entered = arguments[0].clone() if entering else output
        return tap.through(output)

    handle = module.register_forward_hook(of_this_thread(hook))
    try:
        yield tap
    finally:
        handle.remove()


def over_pairs(
    learner: Learner, inputs: Tensor, targets: Tensor, rows: int
) -> Iterator[tuple[Seen, Seen, Tensor, str]]:
    """What the learner finds for a few pairs of input and target at a time, and why they were no batch."""
    parameters = {name: each.detach() for name, each in learner.model.named_parameters()}
    batched = vmap(learner, in_dims=(None, 0, 0))
    looped = ""
    with progress("meta-saliency", targets.numel()) as advance:
        for some in torch.arange(targets.numel(), device=inputs.device).split(rows):
            images, labels = inputs[some // targets.shape[1]], targets.flatten()[some]
            if not looped:
                try:
                    before, after, change = batched(parameters, images, labels)
                except RuntimeError as error:
                    looped = str(error).strip().splitlines()[0]
                    warnings.warn(f"meta-saliency goes input by input, as vmap says: {looped}", stacklevel=3)
                else:
                    yield before, after, change, looped
                    advance(len(some))
                    continue
            for image, label in zip(images, labels, strict=True):
                before, after, change = learner(parameters, image, label)
                yield _batch_of_one(before), _batch_of_one(after), change[None], looped
                advance(1)


def _batch_of_one(seen: Seen) -> Seen:
    return Seen(*(each[None] for each in seen))
