"""Curvature products, eigenpairs and densities: ours and the peers', the same work in one process.

The unit is one gradient over the same data: every figure is the median wall time over interleaved rounds,
divided by the median wall time of a gradient. Peers that are not installed are left out and named.

    python benchmarks/curvature.py [--task mlp|cnn|gpt] [--rounds 7] [--threads 2] [--solvers]
"""

import argparse
import importlib
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from sklearn.datasets import load_digits
from torch import Tensor, nn

import workbench as wb

Work = Callable[[], Any]
Table = dict[tuple[str, str], Work]  # (what, whose) -> what to run
Batches = list[tuple[Tensor, Tensor]]
PEERS = {"curvlinops": "curvlinops", "hessian_eigenthings": "hessian-eigenthings", "pyhessian": "PyHessian"}
COLUMNS = 8


@dataclass
class Task:
    """A trained network, its data in batches of given sizes, and what is expected of each."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor  # (N,), or (N, tokens)
    many: list[int]

    def batches(self, sizes: list[int]) -> Batches:
        """As the peers take them: one target per row of logits."""
        parts = zip(self.inputs.split(sizes), self.targets.split(sizes), strict=True)
        return [(x, y.reshape(-1)) for x, y in parts]

    def problem(self, sizes: list[int]) -> wb.Problem:
        parts = list(zip(self.inputs.split(sizes), self.targets.split(sizes), strict=True))
        return wb.Problem(
            self.model, nn.CrossEntropyLoss(), parts, targets=lambda batch: batch[1].reshape(-1)
        )


class Attention(nn.Module):
    """Causal attention out of products and a softmax, which all peers can differentiate twice."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            part.view(batch, tokens, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1)
        )
        scores = q @ k.transpose(-1, -2) / (width / self.heads) ** 0.5
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(mask, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.norms = Attention(width, heads), nn.ModuleList(nn.LayerNorm(width) for _ in "ab")
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


class GPT(nn.Module):
    """Logits (batch · tokens, vocabulary)."""

    def __init__(self, vocabulary: int = 256, tokens: int = 64, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(vocabulary, width), nn.Embedding(tokens, width)
        self.blocks = nn.Sequential(*(Block(width, 4) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.blocks(self.embedding(tokens) + self.position(places))).flatten(0, 1)


def make_task(name: str) -> Task:
    """Digits for the dense and the convolutional network, random tokens for the transformer."""
    torch.manual_seed(0)
    if name == "gpt":
        tokens = torch.randint(0, 256, (16, 65))
        return trained(GPT(), tokens[:, :-1], tokens[:, 1:], [5, 5, 5, 1], steps=20)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    if name == "mlp":
        sizes = (64, 512, 512)
        hidden = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())]
        return trained(nn.Sequential(*hidden, nn.Linear(512, 10)), x, y, [400, 400, 400, 400, 197], steps=60)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Upsample(scale_factor=2),
        nn.Conv2d(1, 32, 3, padding=1), nn.GELU(), nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.GELU(),
        nn.Conv2d(64, 64, 3, padding=1, stride=2), nn.GELU(), nn.Flatten(),
        nn.Linear(1024, 256), nn.GELU(), nn.Linear(256, 10),
    )  # fmt: skip
    return trained(model, x[:256], y[:256], [100, 100, 56], steps=40)


def trained(model: nn.Module, inputs: Tensor, targets: Tensor, many: list[int], steps: int) -> Task:
    """Train for a few full-batch steps."""
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets.reshape(-1)).backward()
        optimizer.step()
    optimizer.zero_grad()
    return Task(model.eval(), inputs, targets, many)


def product_works(task: Task, sizes: list[int]) -> Table:
    """Gradient, one vector, and a block of columns, with the Hessian and the Gauss-Newton matrix."""
    problem, batches = task.problem(sizes), task.batches(sizes)
    hessian, ggn = wb.curvature.hessian(problem), wb.curvature.ggn(problem)
    half = wb.curvature.hessian(problem, memory=hessian.plan().kept_bytes // 2)
    vector, block = torch.randn(problem.num_parameters), torch.randn(problem.num_parameters, COLUMNS)
    works: Table = {
        ("gradient", "ours"): problem.gradient,
        ("Hessian × vector", "ours"): lambda: hessian @ vector,
        ("Hessian × vector", "ours, half the memory"): lambda: half @ vector,
        (f"Hessian × {COLUMNS}, each", "ours"): lambda: hessian @ block,
        ("GGN × vector", "ours"): lambda: ggn @ vector,
        (f"GGN × {COLUMNS}, each", "ours"): lambda: ggn @ block,
    }
    if curvlinops := optional("curvlinops"):
        arguments = (task.model, nn.CrossEntropyLoss(), list(task.model.parameters()), batches)
        keywords: dict[str, Any] = {"check_deterministic": False}
        peer_hessian = curvlinops.HessianLinearOperator(*arguments, **keywords)
        peer_ggn = curvlinops.GGNLinearOperator(*arguments, **keywords)
        works |= {
            ("Hessian × vector", "curvlinops"): lambda: peer_hessian @ vector,
            (f"Hessian × {COLUMNS}, each", "curvlinops"): lambda: peer_hessian @ block,
            ("GGN × vector", "curvlinops"): lambda: peer_ggn @ vector,
            (f"GGN × {COLUMNS}, each", "curvlinops"): lambda: peer_ggn @ block,
        }
    if eigenthings := optional("hessian_eigenthings"):
        other = eigenthings.HessianOperator(task.model, batches, supervised_loss)
        works[("Hessian × vector", "hessian-eigenthings")] = lambda: other.matvec(vector)
    if optional("pyhessian"):
        works[("Hessian × vector", "PyHessian")] = pyhessian_product(task, batches, vector)
    return works


def pyhessian_product(task: Task, batches: Batches, vector: Tensor) -> Work:
    """PyHessian keeps the graph of a single batch and recomputes those of a loader."""
    hessian_of = importlib.import_module("pyhessian").hessian
    single_product = importlib.import_module("pyhessian.hessian").hessian_vector_product
    parts, start = [], 0
    for parameter in task.model.parameters():
        parts.append(vector[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the reference cycle that backward(create_graph=True) makes
        if len(batches) == 1:
            one = hessian_of(task.model, nn.CrossEntropyLoss(), data=batches[0], cuda=False)
            return lambda: torch.cat([p.reshape(-1) for p in single_product(one.gradsH, one.params, parts)])
        loader = hessian_of(task.model, nn.CrossEntropyLoss(), dataloader=batches, cuda=False)
    return lambda: torch.cat([p.reshape(-1) for p in loader.dataloader_hv_product(parts)[1]])


def solver_works(task: Task, sizes: list[int]) -> Table:
    """The five largest eigenvalues to a relative residual of 1e-3, and densities; set-up included."""
    problem, batches = task.problem(sizes), task.batches(sizes)

    def density(make: Callable[..., Any]) -> Any:
        return wb.curvature.spectral_density(make(problem, check=False), probes=10, steps=80)

    works: Table = {
        ("gradient", "ours"): problem.gradient,
        ("top 5, residuals recomputed", "ours"): lambda: wb.curvature.eigenpairs(
            wb.curvature.hessian(problem, check=False), 5, "LM", tol=1e-3
        ),
        ("top 5, residuals recomputed", "ours, with probes"): lambda: wb.curvature.eigenpairs(
            wb.curvature.hessian(problem), 5, "LM", tol=1e-3
        ),
        ("density 10 × 80, Hessian", "ours"): lambda: density(wb.curvature.hessian),
        ("density 10 × 80, GGN", "ours"): lambda: density(wb.curvature.ggn),
    }
    if curvlinops := optional("curvlinops"):
        arguments = (task.model, nn.CrossEntropyLoss(), list(task.model.parameters()), batches)

        def top() -> Any:
            operator = curvlinops.HessianLinearOperator(*arguments, check_deterministic=False).to_scipy()
            return eigsh(operator, k=5, which="LM", tol=1e-3)

        works[("top 5, residuals recomputed", "curvlinops + eigsh")] = top
    return works


def supervised_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Loss in the form that hessian-eigenthings takes."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def optional(name: str) -> Any:
    """A peer's module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def medians(works: Table, rounds: int) -> dict[tuple[str, str], float]:
    """Median wall time in seconds of each work; each runs once per round, after one round unmeasured."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for turn in range(rounds + 1):
        for key, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                times[key].append(time.perf_counter() - started)
    return {key: statistics.median(each) for key, each in times.items()}


def report(title: str, works: Table, rounds: int) -> None:
    """Print each cost in gradients, and how many times ours a peer's is."""
    times = medians(works, rounds)
    gradient = times.pop(("gradient", "ours"))
    print(f"\n### {title}: one gradient takes {1e3 * gradient:.1f} ms\n")
    print("| what | whose | gradients | × ours |\n| --- | --- | ---: | ---: |")
    for what in dict.fromkeys(what for what, _ in times):
        costs = {whose: seconds for (name, whose), seconds in times.items() if name == what}
        columns = COLUMNS if "each" in what else 1
        for whose, seconds in costs.items():
            gain = "" if whose == "ours" else f"{seconds / costs['ours']:.2f}"
            print(f"| {what} | {whose} | {seconds / columns / gradient:.2f} | {gain} |", flush=True)


def check(works: Table) -> None:
    """Peers and we must agree before times mean anything."""
    for (what, whose), work in works.items():
        if "×" in what and "density" not in what and whose != "ours":
            ours, theirs = works[(what, "ours")](), work()
            error = ((ours - theirs).norm() / ours.norm()).item()
            note = "" if error < 1e-4 else "   <- not the same matrix"
            print(f"{what}, {whose}: relative difference {error:.1e}{note}")
        if what.startswith("top 5") and whose.startswith("curvlinops"):
            ours = np.sort(works[(what, "ours")]().values.numpy())
            print(f"{what}, {whose}: values {np.sort(work()[0])} against {ours}")


def main() -> None:
    """Run all comparisons and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", choices=["mlp", "cnn", "gpt"], action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--solvers", action="store_true", help="eigenpairs and densities, of the dense network"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    missing = [peer for module, peer in PEERS.items() if optional(module) is None]
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}")
    for name in arguments.task or ["mlp", "cnn", "gpt"]:
        task = make_task(name)
        for sizes in ([len(task.inputs)], task.many):
            works = product_works(task, sizes)
            check(works)
            report(f"{name}, batches of {', '.join(map(str, sizes))}", works, arguments.rounds)
    if arguments.solvers:
        task = make_task("mlp")
        works = solver_works(task, [len(task.inputs)])
        check({key: work for key, work in works.items() if "density" not in key[0]})
        report("mlp, solvers", works, max(2, arguments.rounds // 3))


if __name__ == "__main__":
    main()
