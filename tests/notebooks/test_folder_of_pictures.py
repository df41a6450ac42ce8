"""The report on saliency for a folder of pictures, from the command line to the page."""

import nbformat
import numpy as np
from PIL import Image
from typer.testing import CliRunner

from workbench.cli import app

PROBLEM = """
import torch
from torch import nn

import workbench as wb


def make():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.Conv2d(4, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 5),
    )
    data = torch.rand(3, 3, 64, 64), torch.arange(3)
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), data, name="small")
"""
NAMES = ("heron", "otter", "lynx")


def test_every_picture_of_a_folder_is_in_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path / "reports"))
    (tmp_path / "net.py").write_text(PROBLEM)
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in NAMES:
        pixels = noise.integers(0, 256, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    given = {"problem": f"{tmp_path}/net.py:make", "picture": str(folder), "layers": '["1", "3"]'}
    options = [word for name, value in given.items() for word in ("-p", name, value)]
    result = CliRunner().invoke(app, ["report", "saliency", "--preset", "small", *options])
    assert result.exit_code == 0, result.output
    (run,) = (tmp_path / "reports" / "saliency").iterdir()
    page = (run / "report.html").read_text()
    assert all(name in page for name in NAMES)
    cells = nbformat.read(run / "notebook.ipynb", as_version=4).cells
    (drawn,) = [cell for cell in cells if "maps.plot(axis, sample=place)" in cell.source]
    assert sum("image/jpeg" in output.get("data", {}) for output in drawn.outputs) == len(NAMES)
