import copy
import json

import pytest
import torch
from torch import nn

import workbench as wb


@pytest.fixture
def make_notebook(tmp_path):
    """Write a notebook whose only cell is a parameters cell; returns its path."""

    def make(cell):
        source = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": cell, "outputs": []}
        path = tmp_path / "example.ipynb"
        path.write_text(json.dumps({"cells": [source], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path

    return make


@pytest.fixture(scope="session")
def classifier():
    """A small classifier with three checkpoints, the last of which is what its model holds."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    data = torch.randn(30, 4), torch.randint(0, 3, (30,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    states = {0: copy.deepcopy(model.state_dict())}
    for step in range(1, 21):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(data[0]), data[1]).backward()
        optimizer.step()
        if step in (5, 20):
            states[step] = copy.deepcopy(model.state_dict())
    return wb.Problem(model, nn.CrossEntropyLoss(), data, name="small").with_checkpoints(states)


@pytest.fixture(scope="session")
def regression():
    """A problem without classes and without checkpoints."""
    torch.manual_seed(0)
    return wb.Problem(nn.Linear(3, 1), nn.MSELoss(), (torch.randn(9, 3), torch.randn(9, 1)), name="line")


@pytest.fixture
def run():
    """Open a tab of the explorer of curvature, press Run, wait; returns the tab's explorer."""

    def open_and_run(problem, title, **values):
        explorer = wb.explore.curvature(problem, **values).show(title)
        explorer.job.run()
        explorer.job.wait(60)
        return explorer

    return open_and_run
