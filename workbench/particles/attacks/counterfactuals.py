"""``counterfactual``: the nearest image that a classifier takes for another class."""

import math

import torch
from torch import Tensor

from workbench.choices import check_count, check_number
from workbench.particles.attacks.surrogates import Surrogate
from workbench.problem import Problem


def counterfactual(
    problem: Problem, example: int = 0, target: int = 8, *, weight: float = 0.5, farthest: float = 4.0
) -> Surrogate:
    r"""What would have to change in an image for it to be of another class?

    Maximise :math:`\log p_{target}(x) - weight \cdot \|x - x_0\|^2` over images in the box [0, 1], at most
    ``farthest`` away from the image :math:`x_0`. The network appends the displacement to its logarithms of
    probabilities, so that goal and constraint are functions of outputs. The goal has the form of Wachter,
    Mittelstadt and Russell, arXiv:1711.00399; the paper on attacks has another problem of this kind, on maps.

    Parameters
    ----------
    problem : Problem
        A classifier of images or vectors in [0, 1], such as ``"digits-mlp"``; its model is copied in float64.
    example : int
        Which input of its first batch.
    target : int
        The class to be reached.
    weight : float
        Of the squared distance against the logarithm of the probability, in 1 / squared length.
    farthest : float
        Largest Euclidean distance.

    Raises
    ------
    ValueError
        If there is no such example or class, the inputs are not in [0, 1], or a number is out of range.
    TypeError
        If the inputs are not a tensor.
    """
    (inputs, *_), _ = next(problem.batches())
    if not isinstance(inputs, Tensor):
        raise TypeError(f"the inputs are a {type(inputs).__name__}, not a tensor of images")
    check_count("example", example, low=0, high=len(inputs) - 1)
    for name, value in {"weight": weight, "farthest": farthest}.items():
        check_number(name, value, above=0, below=math.inf)
    shape = inputs.shape[1:]
    start = inputs[example].detach().double().cpu().flatten()
    if start.min() < 0 or start.max() > 1:
        raise ValueError(f"example {example} has values outside [0, 1]")
    model = problem.to(dtype=torch.float64, device="cpu").model.requires_grad_(False)
    with torch.no_grad():
        classes = model(start.reshape(1, *shape)).shape[-1]
    check_count("target", target, low=0, high=classes - 1)

    def network(points: Tensor) -> Tensor:
        logits = model(points.reshape(-1, *shape))
        return torch.cat([logits.log_softmax(-1), points - start], dim=-1)

    def goal(outputs: Tensor) -> Tensor:
        return outputs[:, target] - weight * outputs[:, classes:].square().sum(-1)

    def constraints(outputs: Tensor) -> Tensor:
        return outputs[:, classes:].square().sum(-1, keepdim=True) - farthest**2

    return Surrogate(
        name=f"counterfactual ({problem.name} {example} → {target})",
        network=network,
        goal=goal,
        start=start,
        constraints=constraints,
        lower=torch.zeros_like(start),
        upper=torch.ones_like(start),
    )
