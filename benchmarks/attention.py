"""Norm-aware features, linear attention, the softmax' curvature: PyTorch's operations and ours side by side.

float32, rounds interleaved; the table holds the minimum of each and the ratio. On a CPU both are PyTorch, so
that the ratio says what the dispatch costs; the kernels are for a GPU:

    python benchmarks/attention.py [--rounds 9] [--device cuda]

Outputs are compared before anything is timed.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from workbench.kernels import (
    feature_attention,
    linear_attention,
    norm_features,
    query_features,
    softmax_product,
)
from workbench.kernels.softmax_rows import product_by_pytorch

Work = Callable[[], Tensor]
TOLERANCE = 2e-6  # of outputs, relative to the largest entry


def works(device: str) -> dict[str, tuple[Work, Work]]:
    """PyTorch's and ours of each operation, larger on a GPU."""
    more = 16 if device == "cuda" else 1
    random = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device, generator=random)

    queries = normal(65_536 * more, 64)
    features, values = normal(4 * more, 4096, 128).abs(), normal(4 * more, 4096, 64)
    logits, vectors = normal(256 * more, 8192), normal(256 * more, 8192)
    return {
        "norm-aware features": (
            lambda: norm_features.features_by_pytorch(queries, "split", key=False),
            lambda: query_features(queries),
        ),
        "linear attention": (
            lambda: feature_attention.attention_by_pytorch(features, features, values),
            lambda: linear_attention(features, features, values),
        ),
        "softmax product": (
            lambda: product_by_pytorch(logits, vectors),
            lambda: softmax_product(logits, vectors),
        ),
    }


def seconds(work: Work, device: str) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Compare, then measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    for name, pair in works(options.device).items():
        theirs, ours = (work() for work in pair)
        error = ((theirs - ours).abs().max() / theirs.abs().max()).item()
        assert error < TOLERANCE, (name, error)
        rounds = [[seconds(work, options.device) for work in pair] for _ in range(options.rounds)]
        slow, fast = (min(times) for times in zip(*rounds, strict=True))
        print(f"{name:20} PyTorch {1e3 * slow:8.2f} ms, ours {1e3 * fast:8.2f} ms: {slow / fast:.2f} x")


if __name__ == "__main__":
    with torch.no_grad():
        main()
