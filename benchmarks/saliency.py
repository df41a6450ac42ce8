"""Saliency maps of 6 methods at 4 layers and at the input, beside captum and pytorch-grad-cam.

The unit is one forward and one backward pass to the input, in the same process. Networks have random frozen
weights; each map is resized to the input. Rounds are interleaved and medians are told, so that all meet the
same load. captum makes one map per call; pytorch-grad-cam makes one method's maps per call, and is measured
where it is installed. It wants torchvision, which is no dependency of ours: without it,

    pip install --no-deps --target PEERS grad-cam ttach

and ``--peers PEERS`` run it with an empty stand-in.

    python benchmarks/saliency.py [--rounds 15] [--threads 1] [--peers PEERS]
"""

import argparse
import contextlib
import dataclasses
import importlib
import io
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import captum.attr
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.saliency import explain

METHODS = ("gradient", "linear_approximation", "grad_cam", "layer_cam", "norm_grad", "norm_grad_selective")
CLASS = 3
CAPTUM_GATE = 13.0


class Block(nn.Module):
    """Basic block of a residual network."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(leaving)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(leaving)
        self.relu2 = nn.ReLU(inplace=True)
        self.short: nn.Module = nn.Identity()
        if entering != leaving:
            self.short = nn.Sequential(
                nn.Conv2d(entering, leaving, 1, stride, bias=False), nn.BatchNorm2d(leaving)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Sum of the block and its short cut."""
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        y += self.short(x)
        return self.relu2(y)


def residual_network() -> nn.Sequential:
    """The shape of ResNet-18."""
    stages = [
        nn.Sequential(Block(a, b, stride), Block(b, b, 1))
        for a, b, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    ]
    stem = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *stages, *head)


def small_network() -> nn.Sequential:
    """Six convolutions."""
    layers: list[nn.Module] = []
    for entering, leaving in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(entering, leaving, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(leaving, leaving, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, its inputs, four layers and the ratio that is allowed."""

    name: str
    model: nn.Module
    inputs: Tensor
    layers: tuple[str, ...]
    gate: float

    @property
    def size(self) -> tuple[int, int]:
        """Of the input."""
        return self.inputs.shape[2], self.inputs.shape[3]

    def module(self, name: str) -> nn.Module:
        """A layer by name."""
        return self.model.get_submodule(name)

    def resize(self, maps: Tensor) -> Tensor:
        """To the input, as ours are."""
        return F.interpolate(maps, self.size, mode="bilinear", align_corners=False)


def make_cases() -> list[Case]:
    """224² and 32², the latter with one input and with 64."""
    torch.manual_seed(0)
    large, small = residual_network().eval(), small_network().eval()
    for model in (large, small):
        model.requires_grad_(False)
    stages, layers = ("4", "5", "6", "7"), ("3", "8", "11", "13")
    return [
        Case("ResNet-18-like, 1 × 224²", large, torch.randn(1, 3, 224, 224), stages, 1.2),
        Case("six convolutions, 64 × 32²", small, torch.randn(64, 3, 32, 32), layers, 1.6),
        Case("six convolutions, 1 × 32²", small, torch.randn(1, 3, 32, 32), layers, 2.0),
    ]


def plain(case: Case) -> Tensor:
    """One forward and one backward pass to the input."""
    inputs = case.inputs.clone().requires_grad_()
    return torch.autograd.grad(case.model(inputs)[:, CLASS].sum(), inputs)[0]


def ours(case: Case, methods: tuple[str, ...] = METHODS, layers: tuple[str, ...] = ()) -> list[Tensor]:
    """All maps at once."""
    return list(explain(case.model, case.inputs, CLASS, methods, layers or case.layers).sized)


def with_captum(case: Case) -> list[Tensor]:
    """One call per method and layer; what captum has no method for starts from its layers' gradients."""
    return [case.resize(_captum_map(case, method, layer)) for method in METHODS for layer in case.layers]


def _captum_map(case: Case, method: str, layer: str) -> Tensor:
    module = case.module(layer)
    if method == "grad_cam":
        peer = captum.attr.LayerGradCam(case.model, module)
        return peer.attribute(case.inputs, CLASS, relu_attributions=True).detach()
    if method == "linear_approximation":
        peer = captum.attr.LayerGradientXActivation(case.model, module)
        return peer.attribute(case.inputs, CLASS).detach().sum(1, keepdim=True)
    from captum._utils.gradient import compute_layer_gradients_and_eval

    gradients, activations = compute_layer_gradients_and_eval(case.model, module, (case.inputs,), CLASS)
    g, x = gradients[0].detach(), activations[0].detach()
    if method == "gradient":
        return g.abs().amax(1, keepdim=True)
    if method == "layer_cam":
        return (x * g.relu()).sum(1, keepdim=True).relu()
    if method == "norm_grad":
        return x.square().sum(1, keepdim=True).sqrt() * g.square().sum(1, keepdim=True).sqrt()
    return (x * g).relu().square().sum(1, keepdim=True).sqrt()


def load_grad_cam(folder: str | None) -> types.ModuleType | None:
    """pytorch-grad-cam, from a folder of peers if there is one, or None if it is absent."""
    if folder:
        sys.path.append(folder)
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            stand_in: Any = types.ModuleType(name)
            stand_in.Compose = stand_in.Normalize = stand_in.ToTensor = stand_in.resize = None
            sys.modules.setdefault(name, stand_in)
    try:
        return importlib.import_module("pytorch_grad_cam")
    except ImportError as error:
        print(f"pytorch-grad-cam is absent ({error}): left out; see --help")
        return None


def with_grad_cam(case: Case, peer: Any, kind: str) -> Callable[[], Any]:
    """One of its methods at all four layers, which it averages; the input must ask for a gradient for it."""
    cam = getattr(peer, kind)(case.model, [case.module(layer) for layer in case.layers])
    target = importlib.import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget(CLASS)
    return lambda: cam(case.inputs.clone().requires_grad_(), [target] * len(case.inputs))


@dataclasses.dataclass(frozen=True)
class Cost:
    """Median seconds: on the clock, and of work on this thread, which other processes delay less."""

    wall: float
    cpu: float


def medians(jobs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Cost]:
    """Cost of each job over rounds in which all take turns."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for each in range(rounds + 1):
        for name, job in jobs.items():
            wall, cpu = time.perf_counter(), time.thread_time()
            job()
            if each:  # the first round warms up
                seconds[name].append((time.perf_counter() - wall, time.thread_time() - cpu))
    return {
        name: Cost(*(statistics.median(column) for column in zip(*pairs, strict=True)))
        for name, pairs in seconds.items()
    }


def line(name: str, cost: Cost, unit: Cost) -> str:
    """One row: milliseconds and units, on the clock and of work."""
    clock = f"{1e3 * cost.wall:9.2f} ms {cost.wall / unit.wall:6.2f}"
    return f"  {name:<44}{clock}{1e3 * cost.cpu:11.2f} ms {cost.cpu / unit.cpu:6.2f}"


def check_equal(case: Case) -> float:
    """Largest difference of our maps and captum's, relative to the largest entry of each."""
    pairs = zip(ours(case), with_captum(case), strict=True)
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item() for a, b in pairs)


def measure(case: Case, peer: Any, rounds: int) -> bool:
    """Print one case; whether it is within its gates."""
    jobs: dict[str, Callable[[], Any]] = {
        "forward + backward to the input": lambda: plain(case),
        "ours: 6 methods × 4 layers": lambda: ours(case),
        "ours: 6 methods × (4 layers + input)": lambda: ours(case, layers=("input", *case.layers)),
        "ours: NormGrad at the last layer": lambda: ours(case, ("norm_grad",), case.layers[-1:]),
        "captum: 6 methods × 4 layers, a call each": lambda: with_captum(case),
    }
    rounds *= 1 if case.size[0] > 100 else 2 if len(case.inputs) > 1 else 4
    found = medians(jobs, rounds)
    unit = found["forward + backward to the input"]
    print(f"\n{case.name}: captum's maps and ours differ by {check_equal(case):.1e} at most; {rounds} rounds")
    print(f"  {'':<44}{'clock':>12} {'units':>6}{'this thread':>14} {'units':>6}")
    for name, cost in found.items():
        print(line(name, cost, unit))
    for kind in ("GradCAM", "LayerCAM", "HiResCAM") if peer else ():
        with contextlib.redirect_stdout(io.StringIO()):
            job = with_grad_cam(case, peer, kind)  # its hooks stay: the unit beside it has them, too
            beside = medians({"unit": lambda: plain(case), "peer": job}, max(3, rounds // 2))
        del job
        print(line(f"pytorch-grad-cam {kind}, 4 layers averaged", beside["peer"], beside["unit"]))
    mine = found["ours: 6 methods × 4 layers"].wall
    ratio, faster = mine / unit.wall, found["captum: 6 methods × 4 layers, a call each"].wall / mine
    held = ratio <= case.gate and faster >= CAPTUM_GATE
    verdict = "held" if held else "MISSED"
    wanted = f"{faster:.1f} × less than captum, {CAPTUM_GATE:.0f} wanted"
    print(f"  {ratio:.2f} units on the clock, {case.gate} allowed; {wanted}: {verdict}")
    return held


def main() -> int:
    """Print one table per case; exit 1 if a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", help="folder with pytorch-grad-cam")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", module="captum")
    peer = load_grad_cam(options.peers)
    held = [measure(case, peer, options.rounds) for case in make_cases()]
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
