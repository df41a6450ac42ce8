"""``logits_and_slopes``: the logits of each batch and how fast they change along a direction."""

from collections.abc import Iterator

import torch
from torch import Tensor

from workbench.problem import Problem


def logits_and_slopes(problem: Problem, direction: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits and slopes (samples, classes) of each batch by one Jacobian product."""
    tangents = problem.as_parameters(direction)
    parameters = problem.parameters()
    for batch, _ in problem.batches():

        def outputs(given: dict[str, Tensor], batch: object = batch) -> Tensor:
            return problem.outputs(given, batch)

        pair = torch.func.jvp(outputs, (parameters,), (tangents,))
        yield pair[0].detach(), pair[1].detach()
