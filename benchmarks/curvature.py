"""Curvature products, eigenpairs and densities: ours and the peers', the same work in one process.

The unit is one gradient over the same data: every figure is the median wall time over interleaved rounds,
divided by the median wall time of a gradient. Peers that are not installed are left out and named.

    python benchmarks/curvature.py [--task mlp|cnn|gpt] [--rounds 7] [--threads 2] [--memory]
        [--solvers] [--densities 1]
"""

import argparse
import importlib
import itertools
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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


def product_works(task: Task, sizes: list[int], whose: str | None = None) -> Table:
    """Gradient, one vector, and a block of columns, with the Hessian and the GGN; of all or one library."""
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
    if whose in (None, "curvlinops") and (curvlinops := optional("curvlinops")):
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
    if whose in (None, "hessian-eigenthings") and (eigenthings := optional("hessian_eigenthings")):
        other = eigenthings.HessianOperator(task.model, batches, supervised_loss)
        works[("Hessian × vector", "hessian-eigenthings")] = lambda: other.matvec(vector)
    if whose in (None, "PyHessian") and optional("pyhessian"):
        works[("Hessian × vector", "PyHessian")] = pyhessian_product(task, batches, vector)
    return works


def pyhessian_product(task: Task, batches: Batches, vector: Tensor) -> Work:
    """PyHessian keeps the graph of a single batch and recomputes those of a loader."""
    single_product = importlib.import_module("pyhessian.hessian").hessian_vector_product
    parts, start = [], 0
    for parameter in task.model.parameters():
        parts.append(vector[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
    whole = pyhessian(task, batches)
    if len(batches) == 1:
        return lambda: torch.cat([p.reshape(-1) for p in single_product(whole.gradsH, whole.params, parts)])
    return lambda: torch.cat([p.reshape(-1) for p in whole.dataloader_hv_product(parts)[1]])


def pyhessian(task: Task, batches: Batches) -> Any:
    """PyHessian's object for these batches."""
    hessian_of = importlib.import_module("pyhessian").hessian
    data = {"data": batches[0]} if len(batches) == 1 else {"dataloader": batches}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the reference cycle that backward(create_graph=True) makes
        return hessian_of(task.model, nn.CrossEntropyLoss(), cuda=False, **data)


def solver_works(task: Task, sizes: list[int]) -> Table:
    """The five largest eigenvalues to a relative residual of 1e-3, set-up included."""
    problem, batches = task.problem(sizes), task.batches(sizes)
    works: Table = {
        ("gradient", "ours"): problem.gradient,
        ("top 5, residuals recomputed", "ours"): lambda: wb.curvature.eigenpairs(
            wb.curvature.hessian(problem, check=False), 5, "LM", tol=1e-3
        ),
        ("top 5, residuals recomputed", "ours, with probes"): lambda: wb.curvature.eigenpairs(
            wb.curvature.hessian(problem), 5, "LM", tol=1e-3
        ),
    }
    if curvlinops := optional("curvlinops"):
        arguments = (task.model, nn.CrossEntropyLoss(), list(task.model.parameters()), batches)

        def top(certified: bool) -> Any:
            operator = curvlinops.HessianLinearOperator(*arguments, check_deterministic=False).to_scipy()
            values, vectors = eigsh(operator, k=5, which="LM", tol=1e-3)
            if certified:
                np.linalg.norm(operator @ vectors - vectors * values, axis=0)
            return values, vectors

        works[("top 5, residuals recomputed", "curvlinops + eigsh")] = partial(top, True)
        works[("top 5, residuals recomputed", "curvlinops + eigsh, not recomputed")] = partial(top, False)
    return works


def density_works(task: Task, sizes: list[int]) -> Table:
    """Spectral densities of ten probes with 80 steps, set-up included."""
    problem, batches = task.problem(sizes), task.batches(sizes)

    def density(make: Callable[..., Any]) -> Any:
        return wb.curvature.spectral_density(make(problem, check=False), probes=10, steps=80)

    works: Table = {
        ("density 10 × 80, Hessian", "ours"): lambda: density(wb.curvature.hessian),
        ("density 10 × 80, GGN", "ours"): lambda: density(wb.curvature.ggn),
    }
    if curvlinops := optional("curvlinops"):
        arguments = (task.model, nn.CrossEntropyLoss(), list(task.model.parameters()), batches)
        # the search for the GGN's smallest eigenvalue, 0 and multiple, may not end: it is told
        for name, known in (("Hessian", None), ("GGN", (0.0, None))):
            peer = getattr(curvlinops, f"{name}LinearOperator")(*arguments, check_deterministic=False)
            works[(f"density 10 × 80, {name}", "curvlinops")] = partial(
                curvlinops.lanczos_approximate_spectrum, peer, ncv=80, num_repeats=10, boundaries=known
            )
    if optional("pyhessian"):
        works[("density 10 × 80, Hessian", "PyHessian")] = lambda: pyhessian(task, batches).density(80, 10)
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


def medians(works: Table, rounds: int, unmeasured: int = 1) -> dict[tuple[str, str], float]:
    """Median wall time in seconds of each work; each runs once per round, at first unmeasured."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for turn in range(unmeasured + rounds):
        for key, work in works.items():
            started = time.perf_counter()
            work()
            if turn >= unmeasured:
                times[key].append(time.perf_counter() - started)
    return {key: statistics.median(each) for key, each in times.items()}


def beside_gradients(gradient: Work, works: Table, rounds: int) -> dict[tuple[str, str], float]:
    """Medians of long works, each held against gradients just before it: the machine's speed drifts."""
    unit = ("gradient", "ours")
    gradients: list[float] = []
    ratios: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for _ in range(rounds):
        for key, work in works.items():
            gradients.append(medians({unit: gradient}, 20)[unit])
            ratios[key].append(medians({key: work}, 1, unmeasured=0)[key] / gradients[-1])
    usual = statistics.median(gradients)
    return {unit: usual} | {key: usual * statistics.median(each) for key, each in ratios.items()}


def peak(name: str, sizes: list[int], what: str, whose: str) -> None:
    """Print by how many bytes this process grows at most while one work is set up and done twice."""
    task = make_task(name)
    task.problem(sizes).gradient()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is in use
    before = _memory("VmRSS")
    work = product_works(task, sizes, whose.partition(",")[0])[(what, whose)]
    work(), work()
    print(_memory("VmHWM") - before)


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def peaks(name: str, sizes: list[int], threads: int) -> dict[tuple[str, str], float]:
    """Extra peak memory in megabytes of each product, each in a process of its own."""
    found = {}
    for what, whose in product_works(make_task(name), sizes):
        arguments = ["--threads", str(threads), "--task", name, "--peak", json.dumps([sizes, what, whose])]
        output = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
        found[(what, whose)] = int(output.stdout.split()[-1]) / 1e6
    return found


def report(
    title: str,
    times: dict[tuple[str, str], float],
    memory: dict[tuple[str, str], float] | None = None,
) -> None:
    """Print each cost in gradients, how many times ours a peer's is, and extra peak memory in MB."""
    gradient = times.pop(("gradient", "ours"))
    extra = f" and {memory[('gradient', 'ours')]:.0f} MB" if memory else ""
    print(f"\n### {title}: one gradient takes {1e3 * gradient:.1f} ms{extra}\n")
    print("| what | whose | gradients | × ours | peak MB |\n| --- | --- | ---: | ---: | ---: |")
    for what in dict.fromkeys(what for what, _ in times):
        costs = {whose: seconds for (name, whose), seconds in times.items() if name == what}
        columns = COLUMNS if "each" in what else 1
        for whose, seconds in costs.items():
            gain = "" if whose == "ours" else f"{seconds / costs['ours']:.2f}"
            size = f"{memory[(what, whose)]:.0f}" if memory else ""
            print(f"| {what} | {whose} | {seconds / columns / gradient:.2f} | {gain} | {size} |", flush=True)


def check(works: Table) -> None:
    """Peers and we must agree before times mean anything."""
    for (what, whose), work in works.items():
        if "×" in what and whose != "ours":
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
    parser.add_argument("--solvers", action="store_true", help="eigenpairs, of the dense network")
    parser.add_argument("--densities", type=int, default=0, help="rounds of densities, 4 minutes each")
    parser.add_argument("--memory", action="store_true", help="also the peak memory of each product")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        return peak(arguments.task[0], *json.loads(arguments.peak))
    missing = [peer for module, peer in PEERS.items() if optional(module) is None]
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}")
    for name in arguments.task or ["mlp", "cnn", "gpt"]:
        task = make_task(name)
        for sizes in ([len(task.inputs)], task.many):
            works = product_works(task, sizes)
            check(works)
            memory = peaks(name, sizes, arguments.threads) if arguments.memory else None
            title = f"{name}, batches of {', '.join(map(str, sizes))}"
            report(title, medians(works, arguments.rounds), memory)
    if arguments.solvers:
        task = make_task("mlp")
        works = solver_works(task, [len(task.inputs)])
        check(works)
        report("mlp, top of the spectrum", medians(works, arguments.rounds))
    if arguments.densities:
        task = make_task("mlp")
        sizes = [len(task.inputs)]
        works = density_works(task, sizes)
        report("mlp, densities", beside_gradients(task.problem(sizes).gradient, works, arguments.densities))


if __name__ == "__main__":
    main()
