"""From a name to a problem to an analysis, with what is wrong said on the way."""

import pytest
import torch

import workbench as wb
from workbench.explore.analyses import ANALYSES
from workbench.explore.start import parameter_table
from workbench.parameters import list_notebooks

FACTORY = """
import torch
import workbench as wb

def make():
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    data = (torch.randn(9, 4), torch.randint(0, 3, (9,)))
    return wb.Problem(model, torch.nn.CrossEntropyLoss(), data, name="<mine>")

def broken():
    raise RuntimeError("no data here")
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FACTORY)
    return str(path)


def test_load_and_open_an_analysis(mine):
    start = wb.explore.start()
    assert start.analyses["curvature"].disabled
    start.choice.value = f"{mine}:make"
    start.job.run_button.click()
    start.job.wait(60)
    assert "Loaded in" in start.job.status.value
    assert "&lt;mine&gt;" in start._summary.value
    start.analyses["curvature"].click()
    (tabs,) = start._explorer.children
    assert tabs.shown._problem is start.problem


@pytest.mark.parametrize(
    ("name", "words"),
    [("digits-mpl", "did you mean"), ("nowhere.py:make", "nowhere.py"), ("{mine}:broken", "no data here")],
)
def test_what_is_wrong_is_said(mine, name, words):
    start = wb.explore.start()
    start.choice.value = name.format(mine=mine)
    start.job.run()
    start.job.wait(60)
    assert words in start.job.status.value
    assert start.problem is None
    assert not start.job.run_button.disabled


def test_a_report_shows_the_table(mine, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    table = wb.explore.start(f"{mine}:make")
    assert table["elements"].tolist() == [12, 3]


def test_the_table(mine):
    problem = wb.load_problem(f"{mine}:make")
    table = parameter_table(problem)
    assert table["shape"].tolist() == ["3 × 4", "3"]
    expected = problem.model.weight.detach().square().mean().sqrt().item()
    assert table["root mean square"][0] == pytest.approx(expected)
    assert torch.is_tensor(problem.model.weight)


def test_every_analysis_with_a_notebook_can_be_opened():
    assert set(ANALYSES) == {notebook.name for notebook in list_notebooks()} - {"start"}
    assert set(wb.explore.__all__) == {*ANALYSES, "live", "start"}
