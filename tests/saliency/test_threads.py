"""Threads that explain one model at the same time."""

import threading
from collections.abc import Callable
from typing import Any

import torch
from saliency_cases import images, network
from torch import Tensor, nn

from workbench.saliency import explain, integrated_gradients


def in_another_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class Pausing(nn.Module):
    """Lets another thread have its turn in the middle of a forward pass, once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.body = model
        self.meanwhile: Callable[[], Any] | None = None
        self.result: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if self.meanwhile is not None:
            function, self.meanwhile = self.meanwhile, None
            self.result = in_another_thread(function)
        return self.body(x)


def test_two_threads_may_explain_one_model_at_the_same_time() -> None:
    model = Pausing(network())
    layer, mine, theirs = "body.first", images(3), images(3, seed=5)

    def maps(inputs: Tensor) -> Tensor:
        return explain(model, inputs, 0, "norm_grad", layer).maps[0].raw

    expected, other = maps(mine), maps(theirs)
    model.meanwhile = lambda: maps(theirs)
    assert torch.equal(maps(mine), expected)
    assert torch.equal(model.result, other)


def test_values_put_into_a_layer_stay_out_of_other_threads() -> None:
    model = Pausing(network())
    inputs = images()
    expected = model(inputs).detach()

    def meanwhile() -> Tensor:
        with torch.no_grad():
            return model(inputs)

    def arm(module: nn.Module, arguments: Any) -> None:
        if len(arguments[0]) == 50:  # in the middle of a path, when the hook hangs
            module.meanwhile = meanwhile

    model.register_forward_pre_hook(arm)
    integrated_gradients(model, inputs[:1], 0, layer="body.first", steps=50)
    torch.testing.assert_close(model.result, expected)
