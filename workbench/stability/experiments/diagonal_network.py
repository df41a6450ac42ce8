"""``diagonal_network``: SGD at a large learning rate finds sparse solutions of a diagonal linear network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.random_vectors import generator
from workbench.stability.experiments.sparse_minima import RateSweep, Task, Tensors, sweep_rates


def diagonal_network(
    learning_rates: Sequence[float] = (0.005, 0.01, 0.02, 0.03, 0.05),
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    sgd_steps: int = 40000,
    gd_steps: int = 10000,
    examples: int = 40,
    dimension: int = 100,
    sparsity: int = 5,
    scale: float = 0.5,
    tolerance: float = 1e-3,
) -> RateSweep:
    r"""Fit :math:`f(x) = x^\top (u^2 - v^2)` to noiseless examples of a sparse linear function.

    There are more dimensions than examples, so many solutions fit. Where one does, the Hessian's trace is
    :math:`\frac4n \sum_{ij} x_{ij}^2 (u_j^2 + v_j^2)`, about four times an upper bound on the
    :math:`\ell_1` norm of :math:`u^2 - v^2`: what is flat is sparse. The weights start at ``scale`` and the
    learning rate at 0, from where it rises over the first half of the steps.

    Parameters
    ----------
    learning_rates : sequence of float
        Above 0.
    seeds : sequence of int
        Of the inputs (standard normal), the sparse function (signs) and the order of examples.
    sgd_steps, gd_steps : int
        Steps of SGD with one example, and of gradient descent.
    examples, dimension, sparsity : int
        n, d, and the number of coefficients that are not 0.
    scale : float
        Of u and v at the start: large ones find solutions of small :math:`\ell_2` norm if nothing else acts.
    tolerance : float
        Loss up to which a run counts.

    Returns
    -------
    RateSweep
        ``norm`` is :math:`\lVert u^2 - v^2\rVert_1`; ``test_error`` is exact, over standard normal inputs.

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
    check_count("sparsity", sparsity, 1, dimension)
    if not scale > 0:
        raise ValueError(f"scale={scale} is out of range: it must be positive")

    def make(seed: int) -> Task:
        source = generator(seed)
        inputs = torch.randn(examples, dimension, generator=source, dtype=torch.float64)
        truth = torch.zeros(dimension, dtype=torch.float64)
        truth[:sparsity] = 1 - 2 * torch.randint(2, (sparsity,), generator=source)
        start = torch.full((1, dimension), float(scale), dtype=torch.float64)
        return Task(
            inputs=inputs[None],
            targets=(inputs @ truth)[None],
            start={"u": start, "v": start.clone()},
            predict=_predict,
            trace=hessian_trace,
            norm=lambda parameters: coefficients(parameters).abs().sum(1),
            truth={"coefficients": truth[None]},
            test_error=_test_error,
            norm_name="ℓ₁ norm of the coefficients",
        )

    return sweep_rates("diagonal linear network", make, learning_rates, seeds, sgd_steps, gd_steps, tolerance)


def coefficients(parameters: Tensors) -> Tensor:
    """Linear coefficients (runs, d) of the network."""
    return parameters["u"].square() - parameters["v"].square()


def _predict(parameters: Tensors, inputs: Tensor) -> Tensor:
    return (inputs @ coefficients(parameters)[..., None]).squeeze(-1)


def _test_error(parameters: Tensors, truth: Tensors) -> Tensor:
    return (coefficients(parameters) - truth["coefficients"]).square().sum(1)


def hessian_trace(parameters: Tensors, inputs: Tensor) -> Tensor:
    """Trace (runs,) of the Hessian of half the mean squared error where all examples are fitted."""
    squares = parameters["u"].square() + parameters["v"].square()
    return 4 * (inputs.square() @ squares[..., None]).squeeze(-1).mean(1)
