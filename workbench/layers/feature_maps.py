"""The feature maps of linear attention, by name."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from workbench.kernels.norm_features import key_features, query_features

Map = Callable[[Tensor], Tensor]


def _elu(x: Tensor) -> Tensor:
    return F.elu(x) + 1


FEATURE_MAPS: dict[str, tuple[Map, Map]] = {
    "elu": (_elu, _elu),  # Katharopoulos et al., arXiv:2006.16236
    "relu": (F.relu, F.relu),
    "norm-aware": (query_features, key_features),
    "cosine": (partial(query_features, form="cosine"), partial(key_features, form="cosine")),
}
"""Features (…, F) of queries and of keys (…, d); those of ``"elu"`` are elu + 1."""
