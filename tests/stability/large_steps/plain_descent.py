"""Gradient descent as the papers write it: on θ itself, by autograd, one run at a time."""

import torch
from torch import Tensor


def descend(rows: Tensor, rate: float, steps: int, normalized: bool = False) -> list[Tensor]:
    """Iterates from θ = 0 on the mean logistic loss of rows y a; normalised as Tyurin writes it, by β."""
    theta = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    found = [theta.detach().clone()]
    for _ in range(steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            rows @ theta, torch.ones(len(rows)).double()
        )
        (gradient,) = torch.autograd.grad(loss, theta)
        beta = 1 / torch.sigmoid(-(rows @ theta.detach())).mean() if normalized else 1.0
        theta = (theta - rate * beta * gradient).detach().requires_grad_()
        found.append(theta.detach().clone())
    return found


def batch_perceptron(rows: Tensor, steps: int, normalized: bool = False) -> list[Tensor]:
    """Iterates of the paper's Batch Perceptron: half of all at first, then the sum of the mistakes over n."""
    n = len(rows)
    theta = rows.sum(0) / (n if normalized else 2 * n)
    found = [torch.zeros_like(theta), theta]
    for _ in range(steps - 1):
        wrong = rows @ theta <= 0
        theta = theta + rows[wrong].sum(0) / (max(int(wrong.sum()), 1) if normalized else n)
        found.append(theta)
    return found


def separated_after(iterates: list[Tensor], rows: Tensor) -> int | None:
    """Number of the first iterate that has every example on its side."""
    for number, theta in enumerate(iterates):
        if bool((rows @ theta > 0).all()):
            return number
    return None
