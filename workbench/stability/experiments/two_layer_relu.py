"""``two_layer_relu``: SGD at a large learning rate finds two-layer ReLU networks of small path norm."""

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.random_vectors import generator
from workbench.stability.experiments.sparse_minima import RateSweep, Task, Tensors, sweep_rates

_TEST_EXAMPLES = 2000


def two_layer_relu(
    learning_rates: Sequence[float] = (0.01, 0.03, 0.05, 0.07, 0.1),
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    sgd_steps: int = 40000,
    gd_steps: int = 10000,
    examples: int = 40,
    dimension: int = 10,
    width: int = 60,
    tolerance: float = 1e-3,
) -> RateSweep:
    r"""Fit :math:`f(x) = \sum_j a_j \max(0, w_j^\top x)` to noiseless examples of two ReLU neurons.

    Where the examples are fitted, the trace of the Hessian is
    :math:`\frac1n \sum_{ij} 1[w_j^\top x_i > 0]\,(a_j^2 \lVert x_i\rVert^2 + (w_j^\top x_i)^2)`, which bounds
    the path norm :math:`\sum_j |a_j| \lVert w_j\rVert` up to constants of the inputs: what is flat has few or
    small neurons. The learning rate rises over the first half of the steps.

    Parameters
    ----------
    learning_rates : sequence of float
        Above 0.
    seeds : sequence of int
        Of inputs (standard normal), teacher (unit vectors), weights and the order of examples.
    sgd_steps, gd_steps : int
        Steps of SGD with one example, and of gradient descent.
    examples, dimension, width : int
        n, d, and the number of hidden units.
    tolerance : float
        Loss up to which a run counts.

    Returns
    -------
    RateSweep
        ``norm`` is the path norm, ``test_error`` the mean over 2000 new inputs.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Source: Wu and Su, arXiv 2305.17490, on the model and what stability says of it; sizes are ours.
    """
    check_count("examples", examples)
    check_count("dimension", dimension)
    check_count("width", width)

    def make(seed: int) -> Task:
        source = generator(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=source, dtype=torch.float64)

        inputs, new = (normal(1, count, dimension) for count in (examples, _TEST_EXAMPLES))
        teacher = {"w": normal(1, 2, dimension), "a": torch.tensor([[1.0, -1.0]], dtype=torch.float64)}
        scale = dimension**0.5
        teacher["w"] = teacher["w"] / teacher["w"].norm(dim=2, keepdim=True)
        start = {
            "w": normal(1, width, dimension) / scale,
            "a": normal(1, width) / width**0.5,
        }
        return Task(
            inputs=inputs,
            targets=predict(teacher, inputs),
            start=start,
            predict=predict,
            trace=hessian_trace,
            norm=lambda parameters: (parameters["a"].abs() * parameters["w"].norm(dim=2)).sum(1),
            truth={"inputs": new, "targets": predict(teacher, new)},
            test_error=_test_error,
            norm_name="path norm",
        )

    return sweep_rates("two-layer ReLU network", make, learning_rates, seeds, sgd_steps, gd_steps, tolerance)


def predict(parameters: Tensors, inputs: Tensor) -> Tensor:
    """Outputs (runs, n) for inputs (runs, n, d)."""
    return (torch.relu(inputs @ parameters["w"].mT) @ parameters["a"][..., None]).squeeze(-1)


def hessian_trace(parameters: Tensors, inputs: Tensor) -> Tensor:
    """Trace (runs,) of the Hessian of half the mean squared error where all examples are fitted."""
    hidden = inputs @ parameters["w"].mT
    outer = parameters["a"].square()[:, None] * inputs.square().sum(2, keepdim=True)
    return ((hidden > 0) * (outer + hidden.square())).sum(2).mean(1)


def _test_error(parameters: Tensors, truth: Tensors) -> Tensor:
    return (predict(parameters, truth["inputs"]) - truth["targets"]).square().mean(1)
