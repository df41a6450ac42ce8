"""Small networks whose trainings take milliseconds."""

import torch
from torch import nn

import workbench as wb


def small_problem(seed: int = 0, examples: int = 48) -> wb.Problem:
    """Three classes of points in five dimensions."""
    source = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    targets = torch.arange(examples) % 3
    inputs = torch.randn(examples, 5, generator=source).double() + 2 * torch.eye(3, 5)[targets].double()
    return wb.Problem(
        model, nn.CrossEntropyLoss(), list(zip(inputs.split(20), targets.split(20), strict=True))
    )
