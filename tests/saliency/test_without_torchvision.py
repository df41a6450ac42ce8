"""Saliency needs no torchvision: maps, photographs and evidence where it cannot be imported."""

import subprocess
import sys

PROGRAM = """
import importlib.abc
import sys


class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchvision":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocked())
import torch
from torch import nn

import workbench as wb
from workbench.problems.images import load_images
from workbench.problems.mobilenet import MobileNetV2
from workbench.saliency import experiments

head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
model = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), *head)
inputs = load_images("chelsea").inputs
maps = wb.saliency.explain(model.eval(), inputs, 0, list(wb.saliency.METHODS)[:6], ["0", "1"])
assert maps.select("gradient", "0").sized.isfinite().all()
assert wb.saliency.explain(MobileNetV2().eval(), inputs[..., :64, :64], 0, ["grad_cam"]).frame() is not None
problem = wb.Problem(model, nn.CrossEntropyLoss(), (inputs[..., ::8, ::8], torch.zeros(1).long()))
experiments.judge(problem, ["grad_cam"], ["1"], steps=1)
assert "torchvision" not in sys.modules
"""


def test_maps_and_evidence_where_torchvision_is_missing():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
