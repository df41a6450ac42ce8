"""Triton kernels, each with a PyTorch path that runs where there is no GPU.

One file each: the formula, the kernel, its launcher, the PyTorch path and the gradient. Importing this
package imports neither torch nor triton.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from workbench.kernels.consensus_steps import consensus_mean, consensus_move
    from workbench.kernels.dora_composition import dora_compose
    from workbench.kernels.dora_norms import dora_norm
    from workbench.kernels.feature_attention import linear_attention
    from workbench.kernels.generalized_gaussians import generalized_gaussian_bits
    from workbench.kernels.norm_features import key_features, query_features
    from workbench.kernels.softmax_rows import softmax_product, softmax_row

__all__ = [
    "consensus_mean",
    "consensus_move",
    "dora_compose",
    "dora_norm",
    "generalized_gaussian_bits",
    "key_features",
    "linear_attention",
    "query_features",
    "report",
    "softmax_product",
    "softmax_row",
]

# The operations, and the file of each: a new one is a line here, its import above and its name between them.
_HOME = {
    "consensus_mean": "consensus_steps",
    "consensus_move": "consensus_steps",
    "dora_compose": "dora_composition",
    "dora_norm": "dora_norms",
    "generalized_gaussian_bits": "generalized_gaussians",
    "key_features": "norm_features",
    "linear_attention": "feature_attention",
    "query_features": "norm_features",
    "softmax_product": "softmax_rows",
    "softmax_row": "softmax_rows",
}


def report() -> "pd.DataFrame":
    """Which path each operation takes for tensors on the CPU and on a GPU, and why; one row each."""
    import pandas as pd

    from workbench.kernels.dispatch import find_path

    rows = []
    for operation in _HOME:
        for device in ("cpu", "cuda"):
            path, why = find_path(device)
            rows.append({"operation": operation, "device": device, "path": path, "why": why})
    return pd.DataFrame(rows)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"workbench.kernels.{_HOME[name]}"), name)
    raise AttributeError(f"module 'workbench.kernels' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
