r"""Kernels and what they replace, the same work in one process.

DoRA: the norm of the rows and the whole layer, ours and PEFT's. Consensus: a step of a swarm, ours and as
PyTorch's operations with its own random numbers (on a CPU, where swarms take compiled code, ours is the
PyTorch path: see benchmarks/particles.py for what runs there).

float32, rounds interleaved; the table holds the minimum of each, of wall time or of CPU time, which a busy
machine moves less, and the median of the rounds' ratios. Memory is the peak of the resident set above what
there was before the call, each in a process of its own (CPU), or the allocator's peak (CUDA). Gradients of
the layer are compared before anything is timed. Without PEFT, which is no dependency, ours stand alone:

    pip install --no-deps --target PEERS peft transformers accelerate safetensors tokenizers \
        huggingface_hub regex
    PYTHONPATH=PEERS python benchmarks/kernels.py [--threads 2] [--rounds 9] [--clock cpu] [--device cuda]

On a GPU the same table is made of the Triton kernels.
"""

import argparse
import gc
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import workbench as wb
from workbench.kernels.dora_norms import squared_norms
from workbench.layers import DoRALinear, apply_dora, load_peft_state, peft_state

Work = Callable[[], Any]
# Width, rank, least ratio of time and of memory; of the layer width, rank, tokens, least ratio of time.
NORMS = [(4096, 384, 3.5, 8.0), (4096, 64, 12.0, None)]
STEPS = {"cpu": (1, 256, 4096), "cuda": (1, 1024, 1_000_000)}  # runs, particles, dimensions
LAYERS = [(4096, 384, 256, 2.0), (4096, 64, 256, 2.4), (2048, 384, 256, 1.5)]
TOLERANCE = 5e-7  # of outputs and gradients, relative to the norm
HAS_PEFT = importlib.util.find_spec("peft") is not None


def build(width: int, rank: int, device: str) -> tuple[nn.Module, nn.Module | None]:
    """Our model and PEFT's, of one linear layer with the same numbers."""
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(width, width, bias=False, device=device))
    theirs = None
    if HAS_PEFT:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["0"], use_dora=True)
        theirs = get_peft_model(nn.Sequential(nn.Linear(width, width, bias=False, device=device)), config)
        theirs.base_model.model[0].base_layer.load_state_dict(base[0].state_dict())
    apply_dora(base, "0", rank, alpha=2 * rank)
    with torch.no_grad():
        base[0].lora_b.normal_(0, 1 / width)
        base[0].magnitude.mul_(1 + 0.05 * torch.randn_like(base[0].magnitude))
    if theirs is not None:
        exchange(base, theirs)
    return base.train(), theirs and theirs.train()


def exchange(ours: nn.Module, theirs: Any) -> None:
    """Our state into PEFT's model, and what PEFT would write back into ours: bit for bit."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    state = peft_state(ours)
    result = set_peft_model_state_dict(theirs, state)
    assert not result.unexpected_keys, result
    written = get_peft_model_state_dict(theirs)
    assert {k: v.shape for k, v in written.items()} == {k: v.shape for k, v in state.items()}
    assert all(torch.equal(value, state[name]) for name, value in written.items())
    load_peft_state(ours, written)


def norm_works(width: int, rank: int, device: str) -> dict[str, Work]:
    """The norm of the rows: by PEFT, dense, and ours with and without ‖W‖²."""
    ours, theirs = build(width, rank, device)
    layer: DoRALinear = ours[0]  # type: ignore[assignment]
    w, a, b = layer.base.weight, layer.lora_a.detach(), layer.lora_b.detach()
    squared = squared_norms(w)
    works: dict[str, Work] = {}
    if theirs is not None:
        adapter = theirs.base_model.model[0]
        dora, lora_a, lora_b = adapter.lora_magnitude_vector["default"], adapter.lora_A, adapter.lora_B

        def peft() -> Tensor:
            update = dora.get_lora_weight(lora_A=lora_a["default"], lora_B=lora_b["default"])
            return dora.get_weight_norm(w, update.detach(), layer.scale).detach()

        works["PEFT"] = peft
    works["dense"] = lambda: torch.linalg.norm(w + layer.scale * (b @ a), dim=1)
    works["ours, first"] = lambda: wb.kernels.dora_norm(w, a, b, layer.scale)
    works["ours"] = lambda: wb.kernels.dora_norm(w, a, b, layer.scale, squared)
    with torch.no_grad():
        truth = torch.linalg.norm(w.double() + layer.scale * (b.double() @ a.double()), dim=1)
        for name, work in works.items():
            agree(name, ((work().double() - truth).abs() / truth).max().item(), device)
    return works


def layer_works(width: int, rank: int, tokens: int, device: str) -> dict[str, Work]:
    """One forward and one backward pass to A, B, m and the input."""
    ours, theirs = build(width, rank, device)
    x = torch.randn(tokens, width, device=device, requires_grad=True)
    grad = torch.randn(tokens, width, device=device)

    def passes(model: nn.Module) -> list[Tensor]:
        output = model(x)
        wanted = [x, *(p for p in model.parameters() if p.requires_grad)]
        return [output.detach(), *torch.autograd.grad(output, wanted, grad)]

    works: dict[str, Work] = {}
    if theirs is not None:
        works["PEFT"] = lambda: passes(theirs)
        for mine, its in zip(sorted_by_shape(passes(ours)), sorted_by_shape(passes(theirs)), strict=True):
            agree(str(tuple(mine.shape)), ((mine - its).norm() / its.norm()).item(), device)
    works["ours"] = lambda: passes(ours)
    return works


def step_works(runs: int, particles: int, dim: int, device: str) -> dict[str, Work]:
    """One step of a swarm: consensus and move."""
    x = torch.randn(runs, particles, dim, device=device)
    energy = x.square().mean(-1)
    numbers = range(runs)

    def eager() -> Tensor:
        weights = torch.softmax(-100.0 * energy, -1)
        way = x - (weights[:, None] @ x)
        return x - 0.01 * way + 0.16 * way.abs() * torch.randn_like(x)

    def ours() -> Tensor:
        point, ess = wb.kernels.consensus_mean(x, energy, 100.0)
        law = {"kind": "anisotropic", "drift": 0.01, "scale": 0.16}
        return wb.kernels.consensus_move(x, point, ess, numbers, seed=0, step=2, **law)

    truth = torch.softmax(-100.0 * energy.double(), -1)[:, None] @ x.double()
    point = wb.kernels.consensus_mean(x, energy, 100.0)[0]
    agree("consensus", ((point - truth[:, 0]).abs().max() / truth.abs().max()).item(), device)
    return {"eager": eager, "ours": ours}


WORKS: dict[str, Callable[..., dict[str, Work]]] = {
    "norm": norm_works,
    "layer": layer_works,
    "step": step_works,
}
PEERS = ("PEFT", "eager")


def agree(what: str, error: float, device: str) -> None:
    """Print how far a result is off; on the CPU, where it is known what to expect, refuse what is too far."""
    print(f"    {what:14} differs by {error:.1e}")
    assert device != "cpu" or error < TOLERANCE, (what, error)


def sorted_by_shape(tensors: list[Tensor]) -> list[Tensor]:
    """Output and gradient to the input, then parameters, whose order differs, by their number of entries."""
    return tensors[:2] + sorted(tensors[2:], key=lambda each: (each.numel(), each.shape[0]))


def measure(works: dict[str, Work], options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each in interleaved rounds, the first of which does not count."""
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(options.rounds + 1):
        for name, work in works.items():
            started = clock()
            work()
            if options.device == "cuda":
                torch.cuda.synchronize()
            if turn:
                times[name].append(clock() - started)
    return times


def peak(kind: str, sizes: tuple[int, ...], whose: str, device: str) -> int:
    """Bytes that one call holds at its peak above what was there before; runs in its own process."""
    work = WORKS[kind](*sizes, device)[whose]
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    before = reset_peak()
    work()
    return read_status("VmHWM") - before


def reset_peak() -> int:
    """Give freed memory back, set the peak of the resident set to what is resident, and return that."""
    import ctypes

    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return read_status("VmRSS")


def read_status(name: str) -> int:
    """Bytes of an entry of this process's status."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))


def ask_peak(kind: str, sizes: tuple[int, ...], whose: str, options: argparse.Namespace) -> int:
    """The peak of one call, in a new process."""
    command = [sys.executable, __file__, "--device", options.device, "--threads", str(options.threads)]
    command += ["--peak", kind, whose, *map(str, sizes)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def show(kind: str, sizes: tuple[int, ...], gates: list[float | None], options: argparse.Namespace) -> bool:
    """Measure one size and print it; whether the gates hold."""
    print(f"{kind} at {'/'.join(map(str, sizes))}")
    with torch.set_grad_enabled(kind == "layer"):
        works = WORKS[kind](*sizes, options.device)
        times = measure(works, options)
    peaks = {name: ask_peak(kind, sizes, name, options) for name in works}
    peer = next((name for name in PEERS if name in times), None)
    for name, each in times.items():
        print(f"    {name:12} {1e3 * min(each):8.1f} ms  +{peaks[name] / 2**20:6.1f} MiB", end="")
        if peer is None or name == peer:
            print()
            continue
        ratios = [theirs / mine for theirs, mine in zip(times[peer], each, strict=True)]
        faster = min(times[peer]) / min(each)
        print(f"  {faster:5.2f} x faster (median {statistics.median(ratios):.2f})", end="")
        print(f", {peaks[peer] / max(peaks[name], 1):.1f} x less memory")
    if peer is None:
        return True
    found = [min(times[peer]) / min(times["ours"]), peaks[peer] / max(peaks["ours"], 1)]
    return all(gate is None or ratio >= gate for ratio, gate in zip(found, gates, strict=True))


def main() -> None:
    """Measure and print; exit 1 if a gate is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--peak", nargs="+", help=argparse.SUPPRESS)  # how it asks itself
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        kind, whose, *sizes = options.peak
        with torch.set_grad_enabled(kind == "layer"):
            print(peak(kind, tuple(map(int, sizes)), whose, options.device))
        return
    print(wb.kernels.report().to_string(index=False))
    good = [show("norm", (w, r), [time_gate, memory], options) for w, r, time_gate, memory in NORMS]
    good += [show("layer", (w, r, t), [gate, None], options) for w, r, t, gate in LAYERS]
    show("step", STEPS[options.device], [None, None], options)
    if options.device == "cpu" and HAS_PEFT and not all(good):
        raise SystemExit("a gate was missed")


if __name__ == "__main__":
    main()
